// @ts-check
/**
 * `/signin?next=…`: sign-in with name and password of a server account.
 *
 * @module
 */

import { addressOf, serverPathOf } from "../shared/base.js";
import { roleName, showSignInCard } from "../shared/card.js";
import { find, icon } from "../shared/elements.js";
import { metaContent } from "../shared/identity.js";
import { requestStaff } from "../shared/signin.js";
import { fillTexts, language, text } from "../shared/strings.js";

/** @typedef {{ role: string, name: string }} Account */

/** The page of each role, for people who opened `/signin` directly. @type {Record<string, string>} */
const HOME_PAGES = { consultant: "/desk", waiter: "/console", supervisor: "/supervise", admin: "/admin" };
const MINUTE_SECONDS = 60;

/**
 * Text keys by error code of the API; other errors are shown in the server's words.
 *
 * @type {Record<string, string>}
 */
const TEXT_KEYS_BY_ERROR_CODE = {
  wrong_password: "wrong_password",
  account_disabled: "account_disabled",
  accounts_off: "no_sign_in_text",
  overloaded: "sign_in_busy",
  database_away: "sign_in_busy",
};

const name = find("#name", HTMLInputElement);
const password = find("#password", HTMLInputElement);
const submit = find("#submit", HTMLButtonElement);
const problem = find("#problem");
/** @type {number | undefined} */
let pauseTimer;

/**
 * Return the URL to continue with: only one of the server's own pages, whatever the parameter says.
 *
 * @returns {string} empty if there is none
 */
function nextAddress(/** @type {string} */ role) {
  const home = HOME_PAGES[role];
  const wanted = new URLSearchParams(location.search).get("next") ?? (home ? addressOf(home) : "");
  const address = URL.canParse(wanted, location.origin) ? new URL(wanted, location.origin) : null;
  const path = address && serverPathOf(address);
  if (!address || !path || path === "/signin" || !metaContent("pages").split(" ").includes(path)) {
    return "";
  }
  if (new URLSearchParams(address.hash.slice(1)).has("token")) {
    return "";
  }
  return address.pathname + address.search + address.hash;
}

/** @param {Account} account */
function showAccount(account) {
  find("#signin").hidden = true;
  find("#signed-in").hidden = false;
  const title = text("signed_in_as", { name: account.name });
  find("#initial").textContent = Array.from(account.name)[0]?.toUpperCase() ?? "";
  find("#signed-in-title").textContent = document.title = title;
  find("#signed-in-text").textContent = roleName(account.role);
  const link = find("#continue", HTMLAnchorElement);
  const address = nextAddress(account.role);
  link.hidden = !address;
  link.href = address;
  find("#signed-in-title").focus();
}

function showForm() {
  find("#signed-in").hidden = true;
  find("#signin").hidden = false;
  document.title = text("sign_in");
  if (matchMedia("(hover: hover)").matches) {
    name.focus(); // on a phone the keyboard would cover half of the page
  }
}

/**
 * @param {string} content
 * @param {HTMLInputElement} [field]
 */
function showProblem(content, field) {
  problem.textContent = content;
  for (const field of [name, password]) {
    field.toggleAttribute("aria-invalid", false);
    field.removeAttribute("aria-describedby");
  }
  if (field) {
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", "problem");
    field.focus();
    field.select();
  }
}

/** Disable the form for a number of seconds. @param {number} seconds */
function pauseFor(seconds) {
  showProblem(
    seconds < MINUTE_SECONDS * 2
      ? text("too_many_attempts", { seconds })
      : text("too_many_attempts_minutes", { minutes: Math.ceil(seconds / MINUTE_SECONDS) }),
  );
  submit.disabled = true;
  clearTimeout(pauseTimer);
  pauseTimer = setTimeout(() => {
    submit.disabled = false;
    showProblem("");
    password.focus();
  }, seconds * 1000);
}

async function signIn() {
  const empty = [name, password].find((field) => !field.value.trim());
  if (empty) {
    showProblem(text(empty === name ? "name_missing" : "password_missing"), empty);
    return;
  }
  showProblem("");
  submit.disabled = true;
  submit.textContent = text("signing_in");
  try {
    const response = await requestStaff("POST", "session", { name: name.value, password: password.value });
    if (response.ok && (await goOn())) {
      return;
    }
    submit.disabled = false;
    if (response.ok) {
      showProblem(text("no_cookies"));
    } else if (response.status === 429) {
      pauseFor(Number(response.headers.get("Retry-After")) || MINUTE_SECONDS);
    } else {
      const { code, detail } = await response.json().catch(() => ({}));
      const words = TEXT_KEYS_BY_ERROR_CODE[code]
        ? text(TEXT_KEYS_BY_ERROR_CODE[code])
        : text("failed", { reason: detail || response.status });
      showProblem(words, code === "wrong_password" ? password : undefined);
    }
  } catch {
    submit.disabled = false;
    showProblem(text("failed_network"));
  }
  submit.textContent = text("sign_in");
}

/** Continue after signing in. Return whether the browser has stored the cookie. */
async function goOn() {
  const { account } = await (await requestStaff("GET", "session")).json();
  if (!account) {
    return false;
  }
  password.value = "";
  const address = nextAddress(account.role);
  if (address) {
    location.replace(address);
  } else {
    showAccount(account);
  }
  return true;
}

async function signOut() {
  try {
    await requestStaff("DELETE", "session");
    sessionStorage.clear();
    showForm();
  } catch {
    find("#signed-in-problem").textContent = text("failed_network");
  }
}

/** @param {KeyboardEvent} event */
function watchCapsLock(event) {
  if (event.getModifierState) {
    find("#caps").textContent = event.getModifierState("CapsLock") ? text("caps_lock") : "";
  }
}

function prepare() {
  find("#picture").append(icon("lock"));
  const show = find("#show", HTMLButtonElement);
  show.addEventListener("click", () => {
    const shown = password.type === "password";
    password.type = shown ? "text" : "password";
    show.textContent = text(shown ? "hide" : "show");
    show.setAttribute("aria-label", text(shown ? "hide_password" : "show_password"));
  });
  password.addEventListener("keydown", watchCapsLock);
  password.addEventListener("keyup", watchCapsLock);
  find("#form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!submit.disabled) {
      void signIn();
    }
  });
  find("#sign-out").addEventListener("click", () => void signOut());
}

async function start() {
  document.documentElement.lang = language;
  fillTexts(document);
  if (metaContent("accounts") !== "on") {
    showSignInCard(null);
    return;
  }
  prepare();
  /** @type {{ account: Account | null }} */
  const { account } = await requestStaff("GET", "session")
    .then((response) => response.json())
    .catch(() => ({ account: null }));
  if (account) {
    showAccount(account);
  } else {
    showForm();
  }
}

void start();
