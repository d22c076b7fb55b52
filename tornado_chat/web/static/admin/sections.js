// @ts-check
/**
 * The lists of the dashboard: queue, agents, conversations, rooms, plugins and machine.
 *
 * @module
 */

import { roleName } from "../shared/card.js";
import { groupList, positionsInGroups } from "../shared/groups.js";
import { guestName } from "../shared/guest_names.js";
import { text } from "../shared/strings.js";
import { parseTime } from "../shared/time.js";
import { bytes, clock, count, duration, latency, moment } from "./numbers.js";
import { Facts, List } from "./tables.js";

/** @typedef {import("../shared/groups.js").GroupTitles} GroupTitles */
/** @typedef {import("./polling.js").GroupRow} GroupRow */
/** @typedef {import("./polling.js").Status} Status */
/** @typedef {import("./polling.js").ConversationRow} ConversationRow */
/** @typedef {import("./polling.js").ConversationRows} ConversationRows */
/** @typedef {import("./tables.js").Part} Part */

/**
 * The text key and the CSS class of each state, by list.
 *
 * @type {Record<string, Record<string, [string, string]>>}
 */
const STATES = {
  waiters: {
    ready: ["state_free", "success"],
    busy: ["state_busy", "warning"],
    paused: ["state_paused", "neutral"],
    away: ["state_away", "danger"],
  },
  conversations: { waiting: ["state_waiting", "warning"], active: ["state_active", "success"] },
  rooms: { ready: ["state_prepared", "neutral"], active: ["state_active", "success"] },
  plugins: { running: ["state_running", "success"], suspended: ["state_suspended", "danger"] },
};

export class Sections {
  /**
   * @param {HTMLElement} people
   * @param {HTMLElement} machine
   * @param {GroupTitles} groupTitles
   */
  constructor(people, machine, groupTitles) {
    this.#groupTitles = groupTitles;
    people.append(
      this.#groups.element,
      this.#queue.element,
      this.#waiters.element,
      this.#conversations.element,
      this.#rooms.element,
    );
    machine.append(this.#plugins.element, this.#database.element, this.#process.element);
  }

  /** The server time of the shown status. */
  #serverTime = "";

  #groupTitles;

  /** Hidden while there is only the default group. */
  #groups = new List({
    title: "groups",
    empty: "groups_empty",
    id: (/** @type {GroupRow} */ row) => row.name,
    columns: [
      { head: "group", cell: ({ name }) => this.#groupParts(name) },
      { head: "group_agents", number: true, cell: agentParts },
      { head: "group_free", number: true, cell: (row) => [[count(row.free)]] },
      { head: "group_waiting", number: true, cell: (row) => [[count(row.waiting)]] },
      {
        head: "group_longest",
        number: true,
        cell: (row) => [[row.waiting ? duration(row.longest_wait) : "–"]],
      },
      {
        head: "group_expected",
        number: true,
        cell: ({ expected_wait: wait }) => [[typeof wait === "number" ? duration(wait) : "–"]],
      },
      { head: "load", number: true, cell: (row) => [[count(row.conversations)]] },
    ],
  });

  /** The positions of the shown queue, within each group. @type {number[]} */
  #positions = [];

  #queue = new List({
    title: "line",
    empty: "line_empty",
    id: (/** @type {import("./polling.js").WaitingRow} */ row) => String(row.conversation),
    columns: [
      {
        head: "visitor",
        cell: (row) => withNote(nameParts(row, text("visitor")), this.#groupTitles.of(row.group)),
      },
      { head: "place", number: true, cell: (_, index) => [[count(this.#positions[index])]] },
      { head: "conversation_number", number: true, cell: (row) => [[String(row.conversation)]] },
      { head: "waits", number: true, cell: (row) => [[duration(row.seconds)]] },
    ],
  });

  #waiters = new List({
    title: "waiters",
    empty: "waiters_empty",
    id: (/** @type {import("./polling.js").WaiterRow} */ row) => `${row.role} ${row.id}`,
    columns: [
      {
        head: "waiter",
        cell: (row) => withNote(nameParts(row, text("waiter")), groupList(row.groups, this.#groupTitles)),
      },
      { head: "state", cell: (row) => stateParts("waiters", row.state) },
      {
        head: "load",
        number: true,
        cell: (row) => [
          [text("load_of", { count: count(row.conversations), capacity: count(row.capacity) })],
        ],
      },
      { head: "since", number: true, cell: (row) => this.#sinceParts(row) },
    ],
  });

  #conversations = this.#makeConversationList("conversations", "conversation_number");
  #rooms = this.#makeConversationList("rooms", "room");

  #plugins = new List({
    title: "plugins",
    empty: "plugins_empty",
    id: (/** @type {import("./polling.js").PluginRow} */ row) => row.name,
    columns: [
      {
        head: "plugin",
        cell: (row) => [
          [row.name, "name"],
          [` ${row.version}`, "id"],
        ],
      },
      {
        head: "state",
        cell: (row) => {
          const parts = stateParts("plugins", row.state);
          const end = new Date(parseTime(this.#serverTime).getTime() + row.suspended_for * 1000);
          return row.suspended_for
            ? [...parts, [` ${text("until", { clock: clock(end, { seconds: true }) })}`, "small"]]
            : parts;
        },
      },
      { head: "calls", number: true, cell: (row) => [[count(row.calls)]] },
      {
        head: "failures",
        number: true,
        cell: (row) => [[count(row.failures), row.failures ? "failed" : ""]],
      },
      {
        head: "per_call",
        number: true,
        cell: (row) => [[latency(row.calls ? row.seconds / row.calls : null)]],
      },
    ],
  });

  #database = new Facts("database", ["kind", "size", "last_commit", "backlog", "errors"]);
  #process = new Facts("process", ["version", "python", "started", "memory", "process_number"]);

  /** @param {Status} status */
  show({ time, line, waiters, groups = [], conversations, rooms, plugins, database, process }) {
    this.#serverTime = time;
    this.#groups.element.hidden = groups.length < 2;
    if (groups.length > 1) {
      this.#groupTitles.request(groups.map(({ name }) => name));
    }
    this.#groups.show(groups, groups.length, []);
    this.#positions = positionsInGroups(line.first);
    this.#queue.show(
      line.first,
      line.length,
      line.length ? [text("total", { count: count(line.length) })] : [],
    );
    this.#waiters.show(waiters.items, total(waiters.states), stateCounts("waiters", waiters.states));
    this.#conversations.show(
      conversations.items,
      total(conversations.states),
      stateCounts("conversations", conversations.states),
    );
    this.#rooms.show(rooms.items, total(rooms.states), stateCounts("rooms", rooms.states));
    const suspended = plugins.filter((plugin) => plugin.state === "suspended").length;
    this.#plugins.show(
      plugins,
      plugins.length,
      stateCounts("plugins", { running: plugins.length - suspended, suspended }),
    );
    this.#database.show([
      { sqlite: "SQLite", mysql: "MySQL" }[database.kind] ?? database.kind,
      bytes(database.bytes),
      database.last_commit ? moment(database.last_commit, time) : text("never"),
      count(database.backlog),
      count(database.errors),
    ]);
    this.#process.show([
      process.version,
      process.python,
      moment(process.started, time),
      bytes(process.memory),
      String(process.pid),
    ]);
  }

  /** The title and the name of a group. @param {string} name @returns {Part[]} */
  #groupParts(name) {
    const title = this.#groupTitles.of(name);
    return title && title !== name
      ? [
          [title, "name"],
          [` ${name}`, "id"],
        ]
      : [[name, "name"]];
  }

  /**
   * @param {"conversations" | "rooms"} title
   * @param {string} head
   */
  #makeConversationList(title, head) {
    return new List({
      title,
      empty: `${title}_empty`,
      id: (/** @type {ConversationRow} */ row) => `${row.kind} ${row.id}`,
      columns: [
        { head, cell: (row) => [[text(`kind_${row.kind}`, { id: row.id }), "name"]] },
        { head: "state", cell: (row) => stateParts(title, row.state) },
        { head: "people", cell: (row) => row.people.flatMap(participantParts) },
        { head: "since", number: true, cell: (row) => this.#sinceParts(row) },
      ],
    });
  }

  /**
   * @param {{ since: string, seconds: number }} row
   * @returns {Part[]}
   */
  #sinceParts({ since, seconds }) {
    return [[duration(seconds)], [` ${moment(since, this.#serverTime)}`, "small"]];
  }
}

/**
 * A person's name and id; without a name the role and the id.
 *
 * @param {{ id: number | string, name?: string | null }} person
 * @param {string} role
 * @returns {Part[]}
 */
function nameParts({ id, name }, role) {
  const shown = name || guestName(id);
  return shown
    ? [
        [shown, "name"],
        [` ${id}`, "id"],
      ]
    : [[text("person", { role, id }), "name"]];
}

/** @param {Part[]} parts @param {string} note may be empty @returns {Part[]} */
function withNote(parts, note) {
  return note ? [...parts, [note, "small group-note"]] : parts;
}

/** The number of agents; marked if users wait and there is none. @param {GroupRow} row @returns {Part[]} */
function agentParts({ serving, waiting }) {
  return [[count(serving), waiting && !serving ? "failed" : ""]];
}

/**
 * @param {import("./polling.js").Participant} participant
 * @returns {Part[]}
 */
function participantParts({ role, id, name, present }) {
  const shown = name || guestName(id);
  const words = shown
    ? text("named_person", { role: roleName(role), id, name: shown })
    : text("person", { role: roleName(role), id });
  return present
    ? [
        [words, "participant present"],
        [text("is_here"), "visually-hidden"],
      ]
    : [[words + text("is_away"), "participant absent"]];
}

/**
 * @param {string} list
 * @param {string} state
 * @returns {Part[]}
 */
function stateParts(list, state) {
  const [key, tone] = STATES[list][state] ?? ["", "neutral"];
  return [[key ? text(key) : state, `chip ${tone}`]];
}

/**
 * "Ready 2 · Paused 1": the states with their counts.
 *
 * @param {string} list
 * @param {Record<string, number>} states
 */
function stateCounts(list, states) {
  return Object.entries(states)
    .filter(([, number]) => number > 0)
    .map(([state, number]) => `${stateParts(list, state)[0][0]} ${count(number)}`);
}

/** @param {Record<string, number>} states */
function total(states) {
  return Object.values(states).reduce((sum, number) => sum + number, 0);
}
