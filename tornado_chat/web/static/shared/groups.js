// @ts-check
/**
 * The groups of agents, as `docs/groups.md` describes them.
 *
 * @module
 */

import { ApiClient } from "./api_client.js";
import { language, text } from "./strings.js";

/** @typedef {import("./connection.js").TokenSource} TokenSource */

/**
 * `title` and `text` are in the language of the page; `text` may be empty. `open`: an agent serves the group now,
 * or one that helps out. `serves`: for staff, whether the person who asks serves the group.
 *
 * @typedef {{ name: string, title: string, text: string, open: boolean, serves?: boolean }} Group
 */

const DEFAULT_GROUP = "default"; // the group of users who chose none; it may have no title

/**
 * Return the groups that a user may choose; for all other roles all groups.
 *
 * @param {TokenSource} token
 * @returns {Promise<Group[]>}
 * @throws {import("./api_client.js").ApiError}
 */
export async function fetchGroups(token) {
  const wanted = language === "zh-CN" ? "zh_CN" : "en";
  const { items } = await new ApiClient(token).request(`/groups?language=${wanted}`);
  return items.map((/** @type {Group} */ group) => ({
    ...group,
    title: group.title === group.name && group.name === DEFAULT_GROUP ? text("group_default") : group.title,
  }));
}

/**
 * Return the position of each waiting user within its group, as the user sees it.
 *
 * @param {readonly { group?: string }[]} users in the order of the queue
 */
export function positionsInGroups(users) {
  /** @type {Map<string | undefined, number>} */
  const counts = new Map();
  return users.map(({ group }) => {
    const position = (counts.get(group) ?? 0) + 1;
    counts.set(group, position);
    return position;
  });
}

/**
 * Return the titles of groups as one text; empty if there is only one group.
 *
 * @param {readonly string[] | undefined} names
 * @param {Pick<GroupTitles, "of">} titles
 */
export function groupList(names, titles) {
  const known = (names ?? []).map((name) => titles.of(name)).filter(Boolean);
  return joinTitles(known);
}

/** Return "one, two and three". @param {readonly string[]} titles */
export function joinTitles(titles) {
  return new Intl.ListFormat(language).format(titles);
}

/** The titles of the groups: requested once, and again when another group appears. */
export class GroupTitles {
  /**
   * @param {TokenSource} token
   * @param {() => void} onChange
   */
  constructor(token, onChange) {
    this.#token = token;
    this.#onChange = onChange;
  }

  #token;
  #onChange;
  /** @type {Map<string, string>} */
  #titles = new Map();
  /** The names for which titles were requested: each one is requested once. @type {Set<string>} */
  #requested = new Set();

  /** Request the titles, if one of these groups is unknown. @param {Iterable<string>} names */
  request(names) {
    const unknown = [...names].filter((name) => !this.#requested.has(name));
    if (unknown.length) {
      unknown.forEach((name) => this.#requested.add(name));
      void this.#load(unknown);
    }
  }

  /**
   * Return the title of a group; empty if there is only one group, or if the title is unknown.
   *
   * @param {string | undefined} name
   */
  of(name) {
    return (this.#titles.size > 1 && this.#titles.get(name ?? "")) || "";
  }

  /** @param {string[]} names the groups because of which it is requested */
  async #load(names) {
    try {
      const groups = await fetchGroups(this.#token);
      this.#titles = new Map(groups.map(({ name, title }) => [name, title]));
      this.#onChange();
    } catch {
      names.forEach((name) => this.#requested.delete(name)); // with the next status
    }
  }
}
