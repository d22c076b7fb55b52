// @ts-check
/**
 * The texts of the widget, in zh_CN and en.
 *
 * @module
 */

import { addTexts, language, text } from "../shared/strings.js";

addTexts({
  widget_title: ["在线客服", "Chat with us"],
  close_chat: ["收起聊天", "Close the chat"],

  // before a conversation
  greeting: ["您好，有什么可以帮您？", "Hello! How can we help?"],
  start_text: [
    "开始对话后，我们的同事会在这里回复您。",
    "Start a conversation, and one of us will answer you here.",
  ],
  start: ["开始对话", "Start a conversation"],
  starting: ["正在接入…", "One moment…"],

  // the choice of a group
  groups_title: ["您想咨询什么？", "What is it about?"],
  groups_text: ["请选择，我们会为您接通相应的同事。", "Choose, and you will talk with the right one of us."],
  group_open: ["在线", "On duty now"],
  group_closed: ["现在没有人在线，可以先排队", "None of us is on duty now; you can wait"],
  group_gone: ["这一项已不可选，请重新选择。", "This choice is not available any more. Please choose again."],
  groups_back: ["返回", "Back"],

  // the consent
  consent_not_begun: [
    "如不同意，对话不会开始，也不会保存任何内容。",
    "If you do not agree, no conversation begins and nothing is stored.",
  ],
  consent_ends: [
    "说明有更新。如不同意，当前对话将结束。",
    "This text is new. If you do not agree, your conversation ends.",
  ],
  consent_declined_note: [
    "您没有同意，对话没有开始，也没有保存任何内容。您可以重新开始，或通过其他方式联系我们。",
    "You did not agree, so no conversation has begun and nothing is stored. You can start again, or reach us in another way.",
  ],

  // in the queue
  waiting: ["正在排队", "Waiting for one of us"],
  position_1: ["下一位就是您", "You are next"],
  position_n: ["您排在第 {place} 位", "You are {place} in line"],
  wait_minute: ["预计等待约 1 分钟", "About a minute to wait"],
  wait_minutes: ["预计等待约 {minutes} 分钟", "About {minutes} minutes to wait"],
  wait_long: ["预计等待一小时以上", "More than an hour to wait"],
  waiting_text: [
    "可以先写下您的问题，有人接入时会自动发送。",
    "You can write already. Your message is sent as soon as one of us joins.",
  ],
  returned_text: [
    "刚才的同事掉线了，会有人尽快接着帮您。您写的内容都已保存。",
    "The person you talked with has lost the connection. Somebody will take over, and nothing you write is lost.",
  ],
  unserved: ["现在没有客服在线", "None of us is on duty right now"],
  waiting_text_unserved: [
    "您排在第 {place} 位，客服上线后按顺序接待，请保持页面打开。可以先写下您的问题，有人接入时会自动发送。",
    "Your place in the line is {place}. It is your turn when one of us is back: please keep this page open. You can write already.",
  ],
  returned_text_unserved: [
    "刚才的同事掉线了，现在没有其他客服在线。您写的内容都已保存，客服上线后会接着帮您。请保持页面打开。",
    "The person you talked with has lost the connection, and none of us is on duty right now. What you write is kept for the next one of us. Please keep this page open.",
  ],
  early_keep_text: [
    "您可以先写下问题，内容会立即保存。排队时我们能看到开头，有人接入后从头阅读。",
    "You can write already. It is stored at once: we see how it begins, and one of us reads it all on joining.",
  ],
  early_discard_text: [
    "您可以先写下问题，内容会立即保存。排队时我们能看到开头，有人接入后从头阅读；如果您先离开，内容会被删除。",
    "You can write already. It is stored at once: we see how it begins, and one of us reads it all on joining. If you leave before, it is deleted.",
  ],
  early_keep_text_unserved: [
    "您排在第 {place} 位，客服上线后按顺序接待，请保持页面打开。您写的内容会立即保存，客服上线后阅读；如果您先离开，会作为留言保留。",
    "Your place in the line is {place}. Please keep this page open. What you write is stored at once, and read when one of us is back. If you leave before, it stays with us as a message.",
  ],
  early_discard_text_unserved: [
    "您排在第 {place} 位，客服上线后按顺序接待，请保持页面打开。您写的内容会立即保存，客服上线后阅读；如果您先离开，内容会被删除。",
    "Your place in the line is {place}. Please keep this page open. What you write is stored at once, and read when one of us is back. If you leave before, it is deleted.",
  ],
  leave: ["离开队列", "Leave the line"],
  leave_title: ["离开队列？", "Leave the line?"],
  leave_text_keep: [
    "您写的内容还没有人接手。可以作为留言留给我们（如需回复，请写明联系方式），也可以收回，收回的内容会被删除。",
    "Nobody has taken up what you wrote. You can leave it with us as a message (say in it how to reach you, if you want an answer), or take it back: then it is deleted.",
  ],
  leave_text_discard: [
    "您写的内容还没有人接手，离开后会被删除。",
    "Nobody has taken up what you wrote. It is deleted when you leave.",
  ],
  leave_keep: ["留言并离开", "Leave it as a message"],
  leave_withdraw: ["删除并离开", "Delete it and leave"],
  leave_cancel: ["继续排队", "Stay in the line"],
  words_kept_note: ["您写的内容已作为留言保留。", "What you wrote stays with us as a message."],
  left_note: ["您已离开队列。", "You have left the line."],
  lost_position_note: [
    "离线时间过长，您的排队位置已失效。",
    "You were offline for too long, and have lost your place in the line.",
  ],

  // in a conversation
  unnamed_agent: ["客服", "Support"],
  with_you: ["正在为您服务", "is with you now"],
  joined_news: ["{name}已接入", "{name} has joined"],
  joined_news_unnamed: ["客服已接入", "Somebody has joined"],
  end: ["结束", "End"],
  earlier_one: ["之前的对话", "Earlier conversation"],
  earlier_several: ["之前的对话", "Earlier conversations"],
  earlier_loading: ["正在加载…", "Loading…"],
  empty_title: ["请描述您的问题", "What is it about?"],
  empty_text: ["写得越具体，越容易帮到您。", "The more we know, the sooner we can help."],

  // the end
  end_title: ["结束对话？", "End the conversation?"],
  end_text: ["对话将对双方结束。", "It ends for both of you."],
  end_short: ["结束对话", "End the conversation"],
  go_on: ["继续对话", "Go on talking"],
  end_waits: ["连接恢复后对话将立即结束…", "The conversation ends as soon as the connection is back…"],
  ended_title: ["对话已结束", "The conversation has ended"],
  ended_sub: ["已结束", "Ended"],
  refused_over: ["对话在发送前已结束。", "The conversation ended before it could be sent."],
  rate_title: ["这次服务您满意吗？", "How was it?"],
  star_1: ["1 星，很不满意", "1 star, bad"],
  star_2: ["2 星，不太满意", "2 stars, not so good"],
  star_3: ["3 星，一般", "3 stars, all right"],
  star_4: ["4 星，满意", "4 stars, good"],
  star_5: ["5 星，非常满意", "5 stars, very good"],
  rated: ["谢谢您的评价！", "Thank you for your rating!"],
  again: ["开始新对话", "New conversation"],

  // instead of the chat
  token_title: ["登录已过期", "Your sign-in has expired"],
  token_text: [
    "请刷新页面或重新登录。您的对话都已保存。",
    "Please reload the page, or sign in again. Nothing that was said is lost.",
  ],
  forbidden_title: ["此账号不能使用客服", "There is no chat for this account"],
  forbidden_text: [
    "请用其他账号登录，或通过其他方式联系我们。",
    "Please sign in with another account, or reach us in another way.",
  ],
  unavailable_title: ["暂时没有在线客服", "The chat is not available"],
  unavailable_text: ["请通过其他方式联系我们。", "Please reach us in another way."],
  away_title: ["暂时无法连接", "The chat cannot be reached"],
  away_text: ["请稍后再试。", "Please try again soon."],
});

const ordinal = new Intl.PluralRules("en", { type: "ordinal" });
/** @type {Record<string, string>} */
const ORDINAL_SUFFIXES = { one: "st", two: "nd", few: "rd", other: "th" };

/** An expected wait in words. @param {number} seconds as the server has rounded them */
export function waitText(seconds) {
  const minutes = Math.ceil(seconds / 60);
  if (minutes > 60) {
    return text("wait_long");
  }
  return minutes > 1 ? text("wait_minutes", { minutes }) : text("wait_minute");
}

/** A position in the queue in words. @param {number} position 1: the next one */
export function positionText(position) {
  if (position === 1) {
    return text("position_1");
  }
  const written = language === "en" ? `${position}${ORDINAL_SUFFIXES[ordinal.select(position)]}` : position;
  return text("position_n", { place: written });
}
