// @ts-check
/**
 * The texts of the counsellor's desk, in zh_CN and en.
 *
 * @module
 */

import { addTexts } from "../shared/strings.js";

addTexts({
  desk: ["咨询师工作台", "Counsellor's desk"],
  title_waiting: ["● {count} 位来访者在等您 · {title}", "● Waiting for you: {count} · {title}"],
  connected: ["已连接", "Connected"],
  not_connected: ["未连接", "Not connected"],
  loading: ["正在加载…", "Loading…"],
  // instead of the promise to send what was written
  offline: ["您已离线，网络恢复后会自动更新。", "You are offline. This page is updated when you are back."],

  open_console: ["客服工作台", "Support desk"],
  open_console_title: ["接待访客：{groups}", "Take visitors: {groups}"],

  // today
  today: ["今天", "Today"],
  today_empty: [
    "今天还没有会话。有新会话时会自动显示在这里。",
    "No session today so far. A new one appears here by itself.",
  ],
  today_stale: [
    "以下是 {time} 的情况，暂时无法更新。{reason}",
    "This was so at {time}; it cannot be updated at the moment. {reason}",
  ],
  group_waits: ["正在等您", "Waiting for you"],
  group_active: ["进行中", "In progress"],
  group_away: ["来访者暂时不在", "The visitor is away"],
  group_ready: ["尚未开始", "Not begun"],
  group_ended: ["今天已结束", "Ended today"],
  waits_now: ["{name}正在等您", "{name} is waiting for you"],

  // a session
  visitor_id: ["来访者 {id}", "Visitor {id}"],
  session_number: ["会话 {number}", "Session {number}"],
  stage_waits: ["来访者已在会话中", "The visitor is in the session"],
  stage_active: ["进行中", "In progress"],
  stage_away: ["来访者暂时不在", "The visitor is away"],
  stage_ready: ["来访者还没来", "The visitor is not there yet"],
  stage_completed: ["已结束", "Ended"],
  stage_cancelled: ["已取消", "Cancelled"],
  is_new: ["新", "New"],
  enter: ["进入", "Enter"],
  enter_of: ["进入与{name}的会话", "Enter the session with {name}"],
  read_transcript: ["查看", "Read"],
  read_of: ["查看与{name}的会话记录", "Read the session with {name}"],

  // earlier sessions
  earlier: ["以往会话", "Earlier sessions"],
  search_name: ["来访者姓名或编号", "Visitor's name or ID"],
  search_day: ["日期", "Day"],
  search: ["搜索", "Search"],
  search_reset: ["清除", "Clear"],
  searching: ["正在搜索…", "Searching…"],
  history_empty: ["还没有以往的会话。", "There are no earlier sessions yet."],
  history_none: ["没有符合条件的会话。", "No session matches."],
  history_not_yet: ["较近的会话中没有找到。", "Nothing was found in the more recent sessions."],
  show_more: ["更早的会话", "Show earlier ones"],
  search_on: ["继续搜索更早的会话", "Search further back"],

  // a transcript
  transcript: ["会话记录", "Transcript"],
  transcript_loading: ["正在加载记录…", "Loading the transcript…"],
  transcript_empty: ["双方没有留下消息。", "Nothing was written in this session."],
  transcript_open: ["尚未结束，以下为打开时的内容", "Not over: this is what was written so far"],
  transcript_close: ["关闭记录", "Close the transcript"],
  transcript_room: ["在会话页面打开", "Open in the room"],
  feedback_of: ["来访者的评价：{feedback}", "The visitor's words on it: {feedback}"],

  // notifications
  notices: ["通知", "Notifications"],
  notices_empty: ["没有新通知", "Nothing new"],
  notices_none: ["还没有通知", "There are no notifications yet"],
  notices_all: ["显示全部", "Show all"],
  notices_older: ["更早的通知", "Show earlier ones"],
  notice_session: ["新会话 {number}", "New session {number}"],
  notice_session_with: ["与{name}的新会话", "New session with {name}"],
  notice_appointment: ["预约 {number} 有变更", "Appointment {number} has changed"],
  notice_alert: ["紧急提醒", "Alert"],
  mark_read: ["标为已读", "Mark as read"],
  mark_read_of: ["标为已读：{title}", "Mark as read: {title}"],
  sound_blocked: [
    "浏览器暂不允许播放提示音，请点击页面任意处。",
    "The browser keeps sounds back until you click anywhere on this page.",
  ],
  notify_waits: ["有来访者在等您", "A visitor is waiting for you"],
  notify_session: ["新会话", "New session"],
  notify_alert: ["紧急提醒", "Alert"],
  notify_appointment: ["预约有变更", "An appointment has changed"],
  notify_note: ["新通知", "New notification"],

  // settings
  settings: ["设置", "Settings"],
  my_id: ["您的编号：{id}", "Your ID: {id}"],
  set_sound: ["提示音", "Sounds"],
  set_sound_text: ["有来访者在等您时会重复", "Repeats while a visitor waits for you"],
  set_notifications: ["桌面通知", "Desktop notifications"],
  set_notifications_text: [
    "窗口不在前台时显示，不含姓名和内容",
    "When this window is not in front; without names or texts",
  ],
  set_notifications_denied: [
    "浏览器已阻止，请在网站设置中允许",
    "Blocked: allow them in the browser's site settings",
  ],
  set_notifications_none: ["此浏览器不支持", "This browser has none"],
});
