// @ts-check
/**
 * The texts that all pages share, in zh_CN and en, and their lookup. Each page adds its own texts.
 *
 * @module
 */

const CHINESE = 0;
const ENGLISH = 1;

const linkLanguage = new URLSearchParams(location.hash.slice(1)).get("language");

/**
 * The reader's language as a `lang` value: the one that the link asks for, else the browser's. A link that asks for
 * another language shows English to every reader.
 */
export const language = chooseLanguage(linkLanguage ? [linkLanguage] : navigator.languages);
const languageIndex = language === "zh-CN" ? CHINESE : ENGLISH;

/** @type {Record<string, [string, string]>} */
const TEXTS = {
  // people
  you: ["我", "You"],
  you_in_sentence: ["您", "you"],
  role_user: ["来访者", "Visitor"],
  role_consultant: ["咨询师", "Counsellor"],
  role_supervisor: ["督导", "Supervisor"],
  role_waiter: ["客服", "Support agent"],
  role_admin: ["管理员", "Administrator"],
  group_default: ["综合咨询", "General"],
  room_session: ["咨询会话", "Counselling session"],
  room_record: ["督导会话", "Supervision"],

  // presence
  present: ["在线", "Here now"],
  absent: ["暂时不在", "Not here right now"],
  absent_awaited: ["连接中断，剩余 {time}", "Reconnecting, {time} left"],
  wait_longer: ["再等等", "Wait longer"],
  waits_longest: ["已等待到上限", "Cannot wait longer"],
  presence_unknown: ["状态未知", "Not known right now"],
  is_typing: ["{name}正在输入", "{name} is typing"],

  // connection
  connecting: ["正在连接…", "Connecting…"],
  reconnecting: ["连接中断，正在重新连接…", "Connection lost. Connecting again…"],
  retry_in: ["连接中断，{seconds} 秒后重试。", "Connection lost. Trying again in {seconds} s."],
  retry_now: ["立即重试", "Try now"],
  offline: ["您已离线。您写的内容会保留在这里。", "You are offline. What you write is kept here."],
  awaited: ["会话还会等您 {time}。", "The session waits for you: {time} left."],
  awaited_no_more: ["会话可能已经结束。", "The session may have ended."],
  connected_again: ["已重新连接", "Connected again"],

  // messages
  conversation: ["对话", "Conversation"],
  sending: ["发送中", "Sending"],
  held: ["等待发送", "Waiting to be sent"],
  stored: ["已发送", "Sent"],
  delivered: ["已送达", "Delivered"],
  read: ["已读", "Seen"],
  refused: ["未能发送", "Not sent"],
  waits_for_approval: ["等待督导审批", "Waiting for a supervisor"],
  waits_for_approval_until: ["等待督导审批，剩余 {time}", "Waiting for a supervisor, {time} left"],
  approvers_away: ["督导不在线，已通知：{names}", "no supervisor is here, called: {names}"],
  approval_refused: ["督导未批准。", "A supervisor has refused it."],
  approval_refused_note: ["督导未批准：{note}", "A supervisor has refused it: {note}"],
  approval_expired: ["没有督导及时审批。", "No supervisor has approved it in time."],
  approval_edited: ["督导 {name} 已修改。您写的是：{text}", "Edited by supervisor {name}. You wrote: {text}"],
  refused_too_big: ["内容过长。", "It is too long."],
  refused_over: ["会话在发送前已结束。", "The session ended before it could be sent."],
  copy: ["复制", "Copy"],
  copied: ["已复制", "Copied"],
  not_copied: ["无法复制", "Cannot be copied"],
  edit: ["修改", "Edit"],
  send_again: ["重新发送", "Send again"],
  handed_over: ["{from}已将对话转接给{to}", "{from} handed over to {to}"],
  taken_over: ["{from}掉线，由{to}接替", "{from} lost the connection, and {to} took over"],
  agent_changed: ["已由另一位客服接替", "Another support agent took over"],
  older_loading: ["正在加载更早的消息…", "Loading earlier messages…"],
  new_messages: ["{count} 条新消息", "{count} new {count:message|messages}"],
  to_the_end: ["回到最新", "Jump to the latest"],
  empty_title: ["这段时间属于你们", "This time is yours"],
  empty_text: ["不用着急，想从哪里开始都可以。", "There is no hurry. Begin wherever you like."],

  // a supervision record
  record_private: ["督导会话，来访者看不到", "Supervision: the visitor does not see this"],
  record_empty_title: ["只有你们两人", "Just the two of you"],
  record_empty_text: ["来访者看不到这里的任何内容。", "The visitor sees nothing of what you write here."],
  record_write: ["只发给{name}…", "To {name} only…"],

  // composer
  write: ["写点什么…", "Write a message…"],
  write_label: ["消息", "Message"],
  write_hint: ["按 Enter 发送，Shift + Enter 换行", "Enter sends, Shift + Enter starts a new line"],
  send: ["发送", "Send"],
  no_pictures: [
    "这里不能发送图片和文件，请用文字描述。",
    "Pictures and files cannot be sent here. Please describe them in words.",
  ],
  too_long: ["超出 {count} 个字", "{count} {count:character|characters} too many"],

  // menu and dialogs
  menu: ["更多操作", "More"],
  call_supervisor: ["请求督导", "Ask for supervision"],
  call_supervisor_text: [
    "督导会收到通知，并可以查看本次会话。来访者不会看到。",
    "The supervisor is notified and can follow this session. The visitor is not told.",
  ],
  supervisor_id: ["督导的编号", "The supervisor's ID"],
  call: ["发送请求", "Send request"],
  calling: ["正在通知督导…", "Notifying the supervisor…"],
  called: ["已通知督导。", "The supervisor has been notified."],
  open_record: ["打开督导会话", "Open the supervision"],
  download: ["下载记录", "Download transcript"],
  download_text: [
    "请妥善保管：文件里有你们的全部对话。",
    "Keep it safe: the file holds the whole conversation.",
  ],
  format: ["格式", "Format"],
  format_txt: ["纯文本", "Plain text"],
  format_html: ["网页，适合打印", "Web page, for printing"],
  format_json: ["JSON，供程序读取", "JSON, for programs"],
  save: ["下载", "Download"],
  end: ["结束会话", "End the session"],
  end_title: ["结束会话？", "End the session?"],
  end_text: [
    "会话将对双方结束，之后不能再发送消息。",
    "It ends for both of you, and nobody can write afterwards.",
  ],
  end_unsent: ["您还有未发出的消息。", "Some of your messages have not been sent yet."],
  end_waits: ["连接恢复后会话将立即结束…", "The session ends as soon as the connection is back…"],
  cancel: ["取消", "Cancel"],
  close: ["关闭", "Close"],
  try_again: ["重试", "Try again"],
  to_desk: ["返回工作台", "Back to the desk"],
  failed_network: ["无法连接服务器，请稍后再试。", "The server cannot be reached. Please try again soon."],
  failed: ["没有成功：{reason}", "That did not work: {reason}"],

  // the end
  ended_title: ["会话已结束", "The session has ended"],
  ended_text: ["感谢您的信任，请保重。", "Thank you for the conversation. Take care."],
  ended_text_helper: [
    "您可以下载记录，或关闭此页面。",
    "You can download the transcript, or close this page.",
  ],
  ended_text_record: ["您可以关闭此页面。", "You can close this page."],
  ended_left: ["{name}已离开。", "{name} has left."],
  ended_grace: ["{name}没有及时回来。", "{name} did not come back in time."],
  ended_away: ["会话在您离开期间结束。", "It ended while you were away."],
  ended_cancelled: ["来访者已取消。", "The visitor has cancelled it."],
  ended_not_started: ["来访者在开始前离开了。", "The visitor left before it began."],
  ended_not_started_own: [
    "您离开的时间较长，会话没有开始。",
    "You were away for too long, so it did not begin.",
  ],
  rate_title: ["这次会话对您有帮助吗？", "How was this conversation for you?"],
  rate_stars: ["评分", "Your rating"],
  star_1: ["1 星，很不满意", "1 star, not helpful"],
  star_2: ["2 星，不太满意", "2 stars, a little helpful"],
  star_3: ["3 星，一般", "3 stars, fairly helpful"],
  star_4: ["4 星，满意", "4 stars, helpful"],
  star_5: ["5 星，非常满意", "5 stars, very helpful"],
  rate_feedback: ["想对我们说的话（可选）", "Anything you would like to tell us (optional)"],
  rate_choose: ["请先选择星级。", "Please choose a number of stars first."],
  rate: ["提交评价", "Send rating"],
  rated: ["谢谢您的评价。", "Thank you for your rating."],

  // instead of a room
  no_ticket_title: ["链接不完整", "This link is incomplete"],
  no_ticket_text: [
    "请回到您预约的网站，从那里重新打开会话。",
    "Please go back to the website where you made your appointment, and open the conversation from there.",
  ],
  token_title: ["登录已过期", "Your sign-in has expired"],
  token_text: [
    "请回到您预约的网站，重新登录后再打开会话。您的对话都已保存。",
    "Please sign in again on the website you came from, and open the conversation there. Nothing that was said is lost.",
  ],
  consent_title: ["开始之前请阅读", "Before we begin"],
  consent_accept: ["同意并继续", "I agree"],
  consent_decline: ["不同意", "Decline"],
  consent_leaves: [
    "如不同意，您将离开此会话，您的决定不会被保存。",
    "If you do not agree, you leave this session. Your decision is not stored.",
  ],
  declined_title: ["您没有同意", "You did not agree"],
  declined_text: [
    "您已离开会话。如果改变主意，可以在会话等待期间重新打开；否则请通过预约网站联系我们。",
    "You have left the session. If you change your mind, open it again while it waits; else reach us on the website where you made the appointment.",
  ],
  consent_again: ["重新阅读", "Read it again"],
  forbidden_title: ["这不是您的会话", "This is not your conversation"],
  forbidden_text: [
    "您登录的账号不是此会话的参与者。请检查是否登录了正确的账号。",
    "The account you are signed in with takes no part in it. Please check that it is the right account.",
  ],
  missing_title: ["没有找到会话", "This conversation does not exist"],
  missing_text: [
    "链接可能有误。请回到您预约的网站，从那里重新打开会话。",
    "The link may be wrong. Please open the conversation again from the website you came from.",
  ],
  closed_title: ["连接已关闭", "The connection was closed"],
  closed_text: ["服务器给出的原因：{reason}", "The server's reason: {reason}"],

  // signing in
  sign_in: ["登录", "Sign in"],
  signing_in: ["正在登录…", "Signing in…"],
  sign_in_name: ["用户名", "Name"],
  password: ["密码", "Password"],
  show: ["显示", "Show"],
  hide: ["隐藏", "Hide"],
  show_password: ["显示密码", "Show the password"],
  hide_password: ["隐藏密码", "Hide the password"],
  caps_lock: ["大写锁定已打开", "Caps Lock is on"],
  forgot: ["忘记密码？请联系管理员重新设置。", "Forgot the password? Your administrator can set a new one."],
  name_missing: ["请输入用户名。", "Please enter your name."],
  password_missing: ["请输入密码。", "Please enter your password."],
  wrong_password: ["用户名或密码不正确。", "The name or the password is wrong."],
  account_disabled: [
    "此账号已停用，请联系管理员。",
    "This account is disabled. Please ask your administrator.",
  ],
  too_many_attempts: [
    "尝试次数过多，请在 {seconds} 秒后重试。",
    "Too many attempts. Please try again in {seconds} {seconds:second|seconds}.",
  ],
  too_many_attempts_minutes: [
    "尝试次数过多，请在 {minutes} 分钟后重试。",
    "Too many attempts. Please try again in {minutes} {minutes:minute|minutes}.",
  ],
  no_cookies: [
    "浏览器没有保存登录状态，请允许此网站使用 Cookie。",
    "The browser did not keep the sign-in. Please allow this site to use cookies.",
  ],
  sign_in_busy: ["服务器繁忙，请稍后再试。", "The server is busy. Please try again soon."],
  signed_in_as: ["当前账号：{name}", "You are signed in as {name}"],
  continue: ["继续", "Continue"],
  sign_out: ["退出登录", "Sign out"],
  sign_in_as_another: ["换个账号登录", "Sign in with another account"],
  no_sign_in_title: ["请从您的系统打开此页面", "Open this page from your system"],
  no_sign_in_text: [
    "这里不能直接登录。请回到您平时登录的系统，从那里打开此页面。",
    "You cannot sign in here. Please go to the system where you usually sign in, and open this page from there.",
  ],
  over_title: ["登录已过期", "Your sign-in has expired"],
  over_text: [
    "请回到您平时登录的系统，从那里重新打开此页面。",
    "Please go back to the system where you usually sign in, and open this page from there again.",
  ],
  wrong_role_title: ["此页面不适用于您的账号", "This page is not for your account"],
  wrong_role_text: ["当前账号：{name}（{role}）。", "You are signed in as {name} ({role})."],
  wrong_role_text_nameless: ["当前账号的身份：{role}。", "You are signed in as {role}."],
  unreachable_title: ["暂时无法连接", "The server does not answer"],

  // the server's system messages in a room
  joined: ["{role}{name}已进入会话", "{role} {name} has joined the session"],
  session_started: ["会话已开始", "The session has started"],
};

const PLACEHOLDER = /\{(\w+)(?::([^{}|]*)\|([^{}|]*))?\}/g;

// The server's system messages, in the server's language.
const STARTED_MESSAGE = /^(?:会话已开始|The session has started)$/;
const ENDED_MESSAGE = /^(?:会话已结束|The session has ended)$/;
const JOINED_MESSAGE =
  /^(?:来访者|咨询师|客服|督导|Visitor|Counsellor|Agent|Supervisor) (.*?)(?:已进入会话| has joined the session)$/;

/**
 * Add the texts of a page; to be called before anything is shown.
 *
 * @param {Record<string, [string, string]>} texts by key: zh_CN, en; `{name}` is a placeholder, and
 *   `{count:message|messages}` the first word if `count` is 1, else the second one
 */
export function addTexts(texts) {
  Object.assign(TEXTS, texts);
}

/**
 * Return a text in the reader's language, with its placeholders filled in.
 *
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function text(key, values = {}) {
  return TEXTS[key][languageIndex].replace(PLACEHOLDER, (_, name, one, other) => {
    const value = String(values[name]);
    return one === undefined ? value : value === "1" ? one : other;
  });
}

/**
 * Return a known system message of the server in the reader's language, any other unchanged.
 *
 * @param {string} msg
 */
export function systemText(msg) {
  const who = joinedParticipant(msg);
  if (who) {
    // In Chinese only names in Latin letters are set apart by a space.
    const space = languageIndex === CHINESE && /^\w/.test(who.name) ? " " : "";
    return text("joined", { role: text(`role_${who.role}`) + space, name: who.name });
  }
  return STARTED_MESSAGE.test(msg) ? text("session_started") : msg;
}

/**
 * Return the participant who joined, if a system message says so.
 *
 * @param {string} msg
 * @returns {{ role: "user" | "consultant" | "supervisor", name: string } | null}
 */
export function joinedParticipant(msg) {
  const name = msg.match(JOINED_MESSAGE)?.[1];
  if (name === undefined) {
    return null;
  }
  const role = /^(?:来访者|Visitor)/.test(msg)
    ? "user"
    : /^(?:咨询师|客服|Counsellor|Agent)/.test(msg)
      ? "consultant"
      : "supervisor";
  return { role, name };
}

/**
 * Whether a system message announces the end of the session.
 *
 * @param {string} msg
 */
export function isEndMessage(msg) {
  return ENDED_MESSAGE.test(msg);
}

/**
 * Fill in the texts of a page: `data-text` sets the content, `data-label` the accessible name,
 * `data-placeholder` the placeholder.
 *
 * @param {ParentNode} root
 */
export function fillTexts(root) {
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (
    root.querySelectorAll("[data-text], [data-label], [data-placeholder]")
  )) {
    const { text: content, label, placeholder } = element.dataset;
    if (content) {
      element.textContent = text(content);
    }
    if (label) {
      element.setAttribute("aria-label", text(label));
    }
    if (placeholder) {
      element.setAttribute("placeholder", text(placeholder));
    }
  }
}

/** @param {readonly string[]} wanted */
function chooseLanguage(wanted) {
  for (const each of wanted) {
    if (/^zh\b/i.test(each)) {
      return "zh-CN";
    }
    if (/^en\b/i.test(each)) {
      return "en";
    }
  }
  return "en";
}
