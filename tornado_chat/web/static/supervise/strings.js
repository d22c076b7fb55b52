// @ts-check
/**
 * The texts of the supervision page, in zh_CN and en.
 *
 * @module
 */

import { addTexts } from "../shared/strings.js";

addTexts({
  supervise: ["督导工作台", "Supervision desk"],
  title_alerts: ["⚠ {count} 条提醒待确认 · {title}", "⚠ Open alerts: {count} · {title}"],

  // the supervisor
  ready_for_calls: ["已连接，可接收请求", "Calls reach you"],
  not_connected: ["未连接", "Not connected"],
  my_id: ["您的编号：{id}", "Your ID: {id}"],

  // open sessions
  open_sessions: ["正在旁听", "Listening to"],
  open_sessions_empty: ["暂无会话", "No session is open"],
  is_minimized: ["已收起", "Put aside"],
  unread_count: ["条未读", "unread"],
  unread_lines: ["会话中有 {count} 条新消息", "{count} new in the session"],
  unread_record: ["{name}发来 {count} 条督导消息", "{count} from {name} to you"],
  desk_full: [
    "工作台最多同时打开八个会话，请先停止旁听一个。",
    "Eight sessions are open, which is the most. Please stop listening to one first.",
  ],
  placeholder_title: ["一切平静", "All is quiet"],
  placeholder_text: [
    "咨询师的督导请求和提醒会自动出现在收件箱。打开后，可同时旁听四个会话。",
    "Calls and alerts appear in the inbox by themselves. Open one to listen in; four sessions fit side by side.",
  ],
  placeholder_unread: ["有 {count} 条未读通知", "Unread in the inbox: {count}"],
  placeholder_unread_text: [
    "打开请求或提醒，即可旁听该会话；可同时旁听四个会话。",
    "Open a call or an alert to listen in to its session; four fit side by side.",
  ],
  placeholder_id: ["咨询师可用您的编号 {id} 请求督导。", "Counsellors reach you by your ID, {id}."],

  // messages that wait for an approval
  approvals_title: ["待审消息（{count}）", "Waiting for your approval ({count})"],
  approval_in_session: ["会话 {number}", "Session {number}"],
  approval_in_conversation: ["对话 {number}", "Conversation {number}"],
  approval_left: ["剩余 {time}", "{time} left"],
  approval_unlimited: ["无时限", "no time limit"],
  approve: ["批准", "Approve"],
  approval_edit: ["修改", "Edit"],
  approval_refuse: ["拒绝", "Refuse"],
  approval_send_edited: ["发送修改", "Send edited"],
  approval_cancel: ["取消", "Cancel"],
  approval_text: ["要发送的内容", "The text to send"],
  approval_note: ["给发送者的说明（可留空）", "A note for the agent (may stay empty)"],
  approval_after_earlier: ["请先处理上一条", "Decide on the one before first"],

  // the inbox
  inbox: ["收件箱", "Inbox"],
  show_all: ["全部", "All"],
  show_unread: ["未读", "Unread"],
  show_unread_count: ["未读 {count}", "Unread {count}"],
  filter: ["筛选", "Show"],
  unread: ["未读", "Unread"],
  inbox_loading: ["正在加载…", "Loading…"],
  inbox_empty: ["还没有通知", "Nothing has come in yet"],
  inbox_read: ["没有未读通知", "Nothing is unread"],
  earlier: ["更早的通知", "Show earlier ones"],
  alert_title: ["会话提醒", "Alert in a session"],
  alert_title_other: ["紧急提醒", "Alert"],
  alert_title_names: ["会话提醒：{visitor}与{consultant}", "Alert: {visitor} and {consultant}"],
  alert_open: ["有提醒待确认", "An alert is open"],
  alert_at: ["{time} 的提醒尚未确认", "Alert at {time}, not acknowledged"],
  alerts_here: ["此会话的提醒", "Alerts of this session"],
  acknowledge: ["确认", "Acknowledge"],
  acknowledged: ["已确认", "Acknowledged"],
  acknowledged_at: ["{time} 已确认", "Acknowledged at {time}"],
  call_title: ["咨询师请求督导", "A counsellor asks for supervision"],
  call_title_names: [
    "{consultant}请求督导（来访者{visitor}）",
    "{consultant} asks for supervision (visitor {visitor})",
  ],
  call_over_title: ["咨询师曾请求督导", "A counsellor asked for supervision"],
  call_over_title_names: [
    "{consultant}曾请求督导（来访者{visitor}）",
    "{consultant} asked for supervision (visitor {visitor})",
  ],
  appointment_title: ["预约 {number} 有变更", "Appointment {number} has changed"],
  open_session: ["打开会话 {number}", "Open session {number}"],
  mark_read: ["标为已读", "Mark as read"],
  one_moment: ["请稍候…", "One moment…"],
  by_number: ["按编号打开会话（客服对话加 c）", "Open by number (c: support)"],
  by_number_label: ["12 或 c12", "12 or c12"],
  conversations: ["可旁听的客服对话", "Open support conversations"],
  conversations_none: ["暂无可旁听的客服对话", "There is none that you may follow"],
  reload: ["刷新", "Refresh"],
  waits: ["排队中", "waiting"],
  open: ["打开", "Open"],
  sound_blocked: [
    "浏览器暂不允许播放提示音，请点击页面任意处。",
    "The browser keeps sounds back until you click anywhere on this page.",
  ],

  notify_alert: ["会话提醒", "Alert"],
  notify_call: ["有咨询师请求督导", "A counsellor asks for supervision"],
  notify_appointment: ["预约有变更", "An appointment has changed"],
  notify_note: ["新通知", "New notification"],

  // a session
  session_number: ["会话 {number}", "Session {number}"],
  conversation_number: ["客服对话 {number}", "Conversation {number}"],
  visitor_id: ["来访者 {id}", "Visitor {id}"],
  consultant_id: ["咨询师 {id}", "Counsellor {id}"],
  since: ["{time} 开始", "since {time}"],
  since_opened: ["{time} 创建，尚未开始", "opened {time}, not started"],
  state_live: ["实时旁听", "Live"],
  state_live_text: ["双方都看不到您在旁听", "Neither of them can see that you listen"],
  state_cut: ["连接中断", "Interrupted"],
  state_over: ["已结束", "Ended"],
  state_refused: ["无法旁听", "Not possible"],
  refused_forbidden: [
    "您没有旁听此会话的权限。请让咨询师请求督导。",
    "You may not listen to this session. Its counsellor can ask for supervision.",
  ],
  refused_missing: ["没有这个编号的会话。", "There is no session of this number."],
  session_ended: ["会话已结束", "The session has ended"],
  session_ended_at: ["会话已于 {time} 结束", "The session ended at {time}"],
  session_cancelled_at: ["会话已于 {time} 取消", "The session was cancelled at {time}"],
  messages_of: ["{visitor}与{consultant}的对话", "What {visitor} and {consultant} say"],
  messages_loading: ["正在加载对话…", "Loading what was said…"],
  messages_none: ["双方还没有说话。", "Nothing was said yet."],
  messages_unreadable: [
    "您无权查看之前的内容，以下为实时对话。",
    "You may not read what was said before; this is what is said from now on.",
  ],
  messages_coming: ["正在加载 {count} 条消息…", "Loading {count} {count:message|messages}…"],
  messages_missing: ["缺少 {count} 条消息", "{count} {count:message is|messages are} missing here"],
  minimize: ["收起，继续旁听", "Put aside, go on listening"],
  close_pane: ["停止旁听", "Stop listening"],
  pin: ["固定在左侧", "Pin to the left"],
  unpin: ["取消固定", "Unpin"],
  pinned: ["已固定", "Pinned"],
  move_left: ["左移", "Move left"],
  move_right: ["右移", "Move right"],
  end_record: ["结束督导", "End the supervision"],

  // taking part
  part_none: ["您在旁听", "You listen"],
  part_supervisor: ["您已加入，双方都能看到您", "You take part; both see you"],
  part_agent: ["您在接待此对话", "This is your conversation"],
  join: ["加入", "Join"],
  leave_talk: ["退出", "Leave"],
  take_over: ["接管", "Take over"],
  take_over_question: ["原来的接待人员怎么办？", "What does the agent before do?"],
  take_over_observe: ["接管，对方转为旁听", "Take over, it listens on"],
  take_over_leave: ["接管，对方离开", "Take over, it leaves"],
  speaking_label: ["对双方说…", "To both…"],
  speaking_to: ["对{name}说…", "To {name}…"],

  // the record
  record_with: ["与{name}的督导", "Supervision with {name}"],
  record_hidden: ["{name}看不到", "{name} does not see this"],
  record_over: [
    "与{name}的督导已结束。会话进行期间，咨询师可以再次请求。",
    "The supervision with {name} is over. While the session goes on, it can be asked for again.",
  ],
  record_refused: ["督导无法打开：{reason}", "The supervision cannot be opened: {reason}"],
  no_record: [
    "您与咨询师之间没有督导对话。咨询师可用您的编号 {id} 请求督导。",
    "There is no supervision between you and the counsellor, who can ask for it by your ID, {id}.",
  ],
  admin_no_record: [
    "管理员只旁听。可以请督导加入：",
    "Administrators only listen. You can bring a supervisor in:",
  ],
  call_supervisor_id: ["督导编号", "The supervisor's ID"],
  call_in: ["请督导加入", "Bring in"],

  // closing
  close_title: ["停止旁听{visitor}与{consultant}？", "Stop listening to {visitor} and {consultant}?"],
  close_text: [
    "两人的会话不受影响。您与{name}的督导仍在进行：若您几分钟内不返回，它会自动结束。",
    "Their session goes on. So does your supervision with {name}, which ends by itself unless you come back within a few minutes.",
  ],
  close_only: ["停止旁听", "Stop listening"],
  close_and_end: ["同时结束督导", "End the supervision, too"],

  // settings
  settings: ["设置", "Settings"],
  set_sound: ["提示音", "Sounds"],
  set_sound_text: ["提醒确认之前会重复", "An alert repeats until it is acknowledged"],
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
  sign_out_unsent: [
    "有督导消息尚未发出。再次点击即退出。",
    "Something you wrote was not sent yet. Click again to sign out anyway.",
  ],
});
