// @ts-check
/**
 * The contents of the frame: one screen at a time, and the header above it.
 *
 * @module
 */

import { ChatComposer } from "../shared/composer.js";
import { ConsentPanel } from "../shared/consent.js";
import { find, icon, make } from "../shared/elements.js";
import { ChatMessages } from "../shared/messages.js";
import { ConnectionStatusBar } from "../shared/connection_status.js";
import { fillStars } from "../shared/stars.js";
import { text } from "../shared/strings.js";
import { positionText, waitText } from "./strings.js";

/** @typedef {import("../shared/consent.js").ConsentForm} ConsentForm */
/** @typedef {import("../shared/groups.js").Group} Group */

/**
 * The actions of a reader who has to choose a group.
 *
 * @typedef {{ choose: (name: string) => void, back: () => void }} GroupActions
 */

/**
 * The actions of the reader.
 *
 * @typedef {object} PanelActions
 * @property {() => void} start start a conversation
 * @property {(withdraws: boolean) => void} leave leave the queue; `withdraws`: take back what was written
 * @property {() => "keep" | "discard" | undefined} earlyWords what becomes of what was written; undefined:
 *   nothing was
 * @property {() => void} end end the conversation
 * @property {() => boolean} hasUnsent whether a message is still being sent
 * @property {(stars: number, feedback: string) => void} rate
 * @property {() => void} tryAgain
 * @property {() => void} retry reconnect now
 * @property {() => void} close close the panel
 */

const SCREENS = ["resuming", "start", "groups", "consent", "conversation", "card"];

export class Panel {
  /**
   * @param {string} title
   * @param {string} greeting
   * @param {PanelActions} actions
   */
  constructor(title, greeting, actions) {
    this.#title = title || text("widget_title");
    this.#actions = actions;
    document.title = this.#title;
    find("#greeting").textContent = greeting || text("greeting");
    find("#close").append(icon("minimize"));
    find("#start-picture").append(icon("bubble"));
    fillStars(find("#stars"));
    this.statusBar.addEventListener("retry", actions.retry);
    onClick("#close", actions.close);
    onClick("#start-button", actions.start);
    onClick("#again", actions.start);
    onClick("#card-again", actions.tryAgain);
    this.#prepareLeave();
    onClick("#groups-back", () => this.#groupActions?.back());
    this.#prepareEnd();
    this.#prepareRating();
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing && !document.querySelector("dialog[open]")) {
        actions.close();
      }
    });
    this.#setHeader(this.#title, "", "");
  }

  #title;
  #actions;
  statusBar = find("#connection-status", ConnectionStatusBar);
  /** @type {ChatMessages | undefined} */
  #messages;
  /** @type {ChatComposer | undefined} */
  #composer;
  #screen = "resuming";
  /** @type {(accept: boolean) => void} */
  #answerConsent = () => {};
  #consent = new ConsentPanel(find("#consent"), {
    accept: () => this.#answerConsent(true),
    decline: () => this.#answerConsent(false),
  });
  /** @type {GroupActions | undefined} */
  #groupActions;

  /** Conceal the contents while it is unknown whose they are. */
  set concealed(/** @type {boolean} */ veiled) {
    find(".widget").classList.toggle("concealed", veiled);
  }

  /** The widget was opened as a page, which cannot be closed. */
  setStandalone() {
    document.body.classList.add("standalone");
    find("#close").hidden = true;
  }

  // --- the screens ---

  showResuming() {
    this.#setHeader(this.#title, "", "");
    this.#show("resuming");
  }

  /**
   * @param {string} [note] what has just happened
   * @param {string} [problem] why no conversation could be started
   */
  showStart(note = "", problem = "") {
    this.#setHeader(this.#title, "", "");
    find("#start-note").textContent = note;
    find("#start-problem").textContent = problem;
    this.#setStarting(false);
    this.#show("start");
  }

  /** A conversation was requested, and the server has not answered yet. */
  showStarting() {
    find("#start-note").textContent = "";
    find("#start-problem").textContent = "";
    this.#setStarting(true);
    this.#setGroupsBusy(true);
  }

  /**
   * Show the groups, of which the reader chooses one.
   *
   * @param {readonly Group[]} groups
   * @param {string} problem why the reader has to choose again; may be empty
   * @param {GroupActions} actions
   */
  showGroups(groups, problem, actions) {
    this.#groupActions = actions;
    this.#setHeader(this.#title, "", "");
    find("#groups-problem").textContent = problem;
    find("#groups-list").replaceChildren(
      ...groups.map((group) =>
        make(
          "li",
          "",
          makeGroupButton(group, () => actions.choose(group.name)),
        ),
      ),
    );
    this.#setGroupsBusy(false);
    this.#show("groups");
    this.focus();
  }

  /**
   * Show the text that the reader has to accept before a message is sent.
   *
   * @param {ConsentForm} form
   * @param {string} note what happens if the reader declines
   * @param {string} problem why the last answer was refused; may be empty
   * @param {(accept: boolean) => void} answer
   */
  showConsent(form, note, problem, answer) {
    this.#answerConsent = answer;
    this.#setHeader(this.#title, "", "");
    this.#consent.show(form, note, problem);
    if (this.#screen !== "consent") {
      this.#show("consent");
      this.focus();
    }
  }

  /**
   * Show a card instead of the chat: what is wrong, and what to do.
   *
   * @param {string} key
   * @param {string} iconName
   * @param {Record<string, string>} [values]
   */
  showCard(key, iconName, values) {
    this.#setHeader(this.#title, "", "");
    find("#card-picture").replaceChildren(icon(iconName));
    find("#card-title").textContent = text(`${key}_title`);
    find("#card-text").textContent = text(`${key}_text`, values);
    this.#show("card");
  }

  /**
   * `position`: in the queue; `kind`: what is said about writing: the client lost its agent (`returned`), its
   * messages are stored and kept (`early_keep`) or deleted (`early_discard`) if it leaves, or wait in the page
   * (`waiting`); `served`: an agent serves the queue, or may serve it; `wait`: the expected wait in seconds,
   * undefined if there is no estimate; `group`: the title of the queue's group, empty if there is only one.
   *
   * @param {{ position: number, kind: string, served: boolean, wait?: number, group: string }} queue
   */
  showQueue({ position, kind, served, wait, group }) {
    this.#setHeader(this.#title, text("waiting"), "");
    const content = served ? positionText(position) : text("unserved");
    if (find("#position").textContent !== content) {
      find("#position").textContent = content; // announced by screen readers
    }
    const hasEstimate = served && wait !== undefined;
    find("#queue-wait").hidden = !hasEstimate;
    find("#queue-wait").textContent = hasEstimate ? waitText(wait) : "";
    find("#queue-group").textContent = group;
    find("#queue-text").textContent = text(`${kind}_text${served ? "" : "_unserved"}`, { place: position });
    this.#showConversationPart("queue");
  }

  /** @param {string} name the agent's name, may be empty */
  showConversation(name) {
    this.#setHeader(name || text("unnamed_agent"), text("with_you"), name);
    this.#showConversationPart("messages");
  }

  /**
   * @param {string} name
   * @param {boolean} rated
   */
  showEnd(name, rated) {
    this.#setHeader(name || this.#title, text("ended_sub"), name);
    find("#rating", HTMLFormElement).hidden = rated;
    find("#thanks").textContent = rated ? text("rated") : "";
    this.#setStarting(false);
    this.#showConversationPart("end");
    this.#messages?.scrollToEnd();
  }

  /** Show why the rating failed. @param {string} problem */
  showRatingProblem(problem) {
    find("#rating-problem").textContent = problem;
    find("#rate", HTMLButtonElement).disabled = false;
  }

  /**
   * Create an empty list and an empty composer, for another conversation.
   *
   * @param {boolean} visible
   * @param {HTMLElement | null} earlier the earlier conversations, to be shown above the list
   */
  newConversation(visible, earlier) {
    const messages = new ChatMessages();
    const composer = new ChatComposer();
    find("#conversation-body").replaceChildren(...(earlier ? [earlier] : []), messages, composer);
    messages.visible = visible;
    this.#messages = messages;
    this.#composer = composer;
    find("#rating", HTMLFormElement).reset();
    find("#rating-more").hidden = true;
    this.showRatingProblem("");
    return { messages, composer };
  }

  /** Remove everything of the conversation. */
  clear() {
    find("#conversation-body").replaceChildren();
    this.#messages = this.#composer = undefined;
    for (const dialog of document.querySelectorAll("dialog[open]")) {
      /** @type {HTMLDialogElement} */ (dialog).close();
    }
    this.statusBar.showText("neutral", "");
  }

  /** Announce a text to screen readers. @param {string} news */
  announce(news) {
    find("#announcement").textContent = news;
  }

  /** Focus the element with which the reader continues. */
  focus() {
    // On a phone the keyboard would cover the messages before they are read.
    const canWrite =
      this.#composer?.isConnected && !this.#composer.hidden && matchMedia("(hover: hover)").matches;
    if (this.#screen === "conversation" && canWrite) {
      this.#composer?.focus();
    } else if (this.#screen === "start") {
      find("#start-button").focus();
    } else if (this.#screen === "groups") {
      find("#groups-title").focus();
    } else if (this.#screen === "consent") {
      this.#consent.focus();
    } else {
      find("#title").focus();
    }
  }

  // --- internal ---

  /** @param {"queue" | "messages" | "end"} part */
  #showConversationPart(part) {
    this.#closeDialogs(part === "messages" ? "#end-dialog" : part === "queue" ? "#leave-dialog" : "");
    find("#queue").hidden = part !== "queue";
    find("#ended").hidden = part !== "end";
    find("#end").hidden = part !== "messages";
    if (this.#composer) {
      this.#composer.hidden = part === "end";
    }
    this.#show("conversation");
  }

  /** @param {string} screen */
  #show(screen) {
    this.#screen = screen;
    for (const each of SCREENS) {
      find(`#${each}`).hidden = each !== screen;
    }
    if (screen !== "conversation") {
      find("#end").hidden = true;
      this.#closeDialogs();
    }
    if (
      document.hasFocus() &&
      (document.activeElement === document.body || !isShown(document.activeElement))
    ) {
      this.focus(); // the focused element is hidden now
    }
  }

  /**
   * @param {string} title
   * @param {string} sub
   * @param {string} name
   */
  #setHeader(title, sub, name) {
    find("#title").textContent = find("#title").title = title;
    find("#subtitle").textContent = sub;
    find("#avatar").replaceChildren(name ? (Array.from(name)[0] ?? "").toUpperCase() : icon("bubble"));
    if (this.#messages) {
      this.#messages.otherName = name || text("unnamed_agent");
    }
  }

  /** @param {boolean} busy */
  #setStarting(busy) {
    for (const [selector, key] of [
      ["#start-button", "start"],
      ["#again", "again"],
    ]) {
      find(selector, HTMLButtonElement).disabled = busy;
      find(selector).textContent = text(busy ? "starting" : key);
    }
  }

  /** @param {boolean} busy whether one was chosen, and the server has not answered yet */
  #setGroupsBusy(busy) {
    for (const button of find("#groups-list").querySelectorAll("button")) {
      button.disabled = busy;
    }
  }

  #prepareEnd() {
    const dialog = find("#end-dialog", HTMLDialogElement);
    onClick("#end", () => {
      find("#end-unsent").hidden = !this.#actions.hasUnsent();
      dialog.returnValue = "";
      dialog.showModal();
    });
    dialog.addEventListener("close", () => dialog.returnValue === "end" && this.#actions.end());
  }

  /** Leaving the queue asks what becomes of the words that the visitor has written. */
  #prepareLeave() {
    const dialog = find("#leave-dialog", HTMLDialogElement);
    onClick("#leave", () => {
      const words = this.#actions.earlyWords();
      if (words === undefined) {
        this.#actions.leave(false);
        return;
      }
      find("#leave-text").textContent = text(`leave_text_${words}`);
      find("#leave-keep").hidden = words === "discard";
      dialog.returnValue = "";
      dialog.showModal();
      find("#leave-cancel").focus(); // a hasty Enter deletes nothing
    });
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "keep" || dialog.returnValue === "withdraw") {
        this.#actions.leave(dialog.returnValue === "withdraw");
      }
    });
  }

  /** Close the dialogs that do not fit any more. @param {string} [except] the selector of the one that fits */
  #closeDialogs(except) {
    for (const selector of ["#end-dialog", "#leave-dialog"]) {
      const dialog = find(selector, HTMLDialogElement);
      if (dialog.open && selector !== except) {
        dialog.close("");
      }
    }
  }

  #prepareRating() {
    const form = find("#rating", HTMLFormElement);
    form.addEventListener("change", () => {
      find("#rating-more").hidden = false;
      this.#messages?.scrollToEnd();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      find("#rate", HTMLButtonElement).disabled = true;
      const stars = Number(new FormData(form).get("stars"));
      this.#actions.rate(stars, find("#feedback", HTMLTextAreaElement).value.trim());
    });
  }
}

/**
 * @param {string} selector
 * @param {() => void} act
 */
function onClick(selector, act) {
  find(selector).addEventListener("click", () => act());
}

/**
 * @param {Group} group
 * @param {() => void} choose
 */
function makeGroupButton({ name, title, text: about, open }, choose) {
  const button = make(
    "button",
    "group-button",
    make("b", "", title),
    ...(about ? [make("span", "", about)] : []),
    make("small", open ? "group-open" : "", text(open ? "group_open" : "group_closed")),
  );
  button.type = "button";
  button.dataset.group = name;
  button.addEventListener("click", choose);
  return button;
}

/** @param {Element | null} element */
function isShown(element) {
  return element !== null && element.getClientRects().length > 0;
}
