// @ts-check
/**
 * Names and colours of guests, who have given no name: always the same for an id, in both languages.
 *
 * The words are of landscapes, plants and animals: a name must say nothing about the person.
 *
 * @module
 */

import { language } from "./strings.js";

/** The ids that the server gives to guests. */
const GUEST_ID = /^guest-[0-9a-f]{32}$/;

/** @type {readonly (readonly [string, string])[]} */
const PLACES = [
  ["河畔", "River"],
  ["林间", "Forest"],
  ["山中", "Mountain"],
  ["海滨", "Seaside"],
  ["湖边", "Lake"],
  ["岛上", "Island"],
  ["清晨", "Morning"],
  ["傍晚", "Evening"],
  ["春日", "Spring"],
  ["夏日", "Summer"],
  ["秋日", "Autumn"],
  ["冬日", "Winter"],
  ["北方", "Northern"],
  ["南方", "Southern"],
  ["银色", "Silver"],
  ["琥珀", "Amber"],
];

/** @type {readonly (readonly [string, string])[]} */
const BEINGS = [
  ["苍鹭", "Heron"],
  ["白桦", "Birch"],
  ["松树", "Pine"],
  ["柳树", "Willow"],
  ["枫树", "Maple"],
  ["竹子", "Bamboo"],
  ["燕子", "Swallow"],
  ["云雀", "Lark"],
  ["翠鸟", "Kingfisher"],
  ["黄鹂", "Oriole"],
  ["天鹅", "Swan"],
  ["白鹤", "Crane"],
  ["海豚", "Dolphin"],
  ["海豹", "Seal"],
  ["水獭", "Otter"],
  ["小鹿", "Deer"],
  ["松鼠", "Squirrel"],
  ["海鸥", "Gull"],
  ["蜻蜓", "Dragonfly"],
  ["蝴蝶", "Butterfly"],
  ["雏菊", "Daisy"],
  ["山茶", "Camellia"],
  ["兰花", "Orchid"],
  ["荷花", "Lotus"],
  ["紫藤", "Wisteria"],
  ["薰衣草", "Lavender"],
  ["三叶草", "Clover"],
  ["芦苇", "Reed"],
  ["橡树", "Oak"],
  ["雪松", "Cedar"],
  ["银杏", "Ginkgo"],
  ["蕨草", "Fern"],
];

const HUES = 12;

/**
 * The name of a guest; null for any other person.
 *
 * @param {string | number} id
 */
export function guestName(id) {
  if (!GUEST_ID.test(String(id))) {
    return null;
  }
  const hash = hashOf(String(id));
  const place = PLACES[hash % PLACES.length];
  const being = BEINGS[Math.floor(hash / PLACES.length) % BEINGS.length];
  return language === "zh-CN" ? place[0] + being[0] : `${place[1]} ${being[1]}`;
}

/**
 * The colour of a guest as a hue in degrees; null for any other person.
 *
 * @param {string | number} id
 */
export function guestHue(id) {
  if (!GUEST_ID.test(String(id))) {
    return null;
  }
  const number = Math.floor(hashOf(String(id)) / (PLACES.length * BEINGS.length));
  return ((number % HUES) * 360) / HUES;
}

/**
 * 32 bits of an id: FNV-1a, and the last step of MurmurHash3, which spreads each bit over all others.
 *
 * @param {string} id of ASCII characters
 */
function hashOf(id) {
  let hash = 0x811c9dc5;
  for (let index = 0; index < id.length; index += 1) {
    hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
