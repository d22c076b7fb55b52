// @ts-check
/**
 * The console's own texts, in zh_CN and en.
 *
 * @module
 */

import { addTexts } from "../shared/strings.js";

addTexts({
  console: ["客服工作台", "Support desk"],

  // the agent's state
  online: ["已连接", "Connected"],
  no_connection: ["未连接", "Not connected"],
  take_new: ["接待新访客", "Take new visitors"],
  ready_words: ["下一位访客会分配给您", "The next one comes to you"],
  ready_full: ["已满，暂不分配新访客", "Full, no new visitors"],
  paused_words: ["已暂停，暂不分配新访客", "Paused, no new visitors"],
  ready_wait: ["正在告知服务器…", "Telling the server…"],
  ready_disconnected: ["连接中断，暂不分配新访客", "Not connected, no new visitors"],
  start_taking: ["开始接待", "Start taking visitors"],
  paused_missed: [
    "您连续两次没有及时回应新访客，服务器已暂停接待。准备好后请重新上线。",
    "You did not turn to your last two visitors in time, so you are paused. Go on duty again when you are ready.",
  ],
  ready_refused: ["服务器不允许您接待：{reason}", "The server does not let you take visitors: {reason}"],

  my_groups: ["接待：{groups}", "Serves {groups}"],

  // conversations
  my_conversations: ["我的会话", "Conversations"],
  load: ["{count} / {capacity}", "{count} of {capacity}"],
  conversations_empty: ["暂无会话", "None at the moment"],
  visitor: ["访客", "Visitor"],
  visitor_id: ["访客 {id}", "Visitor {id}"],
  unread: ["{count} 条未读", "{count} unread"],
  waits: ["已等待 {time}", "Waiting {time}"],
  typing_short: ["正在输入…", "typing…"],
  draft: ["草稿：", "Draft: "],
  you_said: ["我：", "You: "],
  colleague_said: ["{name}：", "{name}: "],
  new_here: ["新访客", "New visitor"],
  not_sent: ["有消息未能发送", "A message was not sent"],
  sending_some: ["消息发送中", "Sending"],
  over: ["已结束", "Over"],
  ending: ["正在结束…", "Ending…"],
  number: ["会话 {number}", "No. {number}"],
  since: ["{time} 开始", "since {time}"],

  // the queue
  queue: ["排队", "In line"],
  queue_empty: ["当前无人排队", "Nobody is waiting"],
  queue_unknown: ["暂时无法得知", "Not known right now"],
  queue_more: ["另有 {count} 人", "and {count} more"],

  // messages of visitors who gave up
  left_button: ["留言 {count} 条", "Left messages: {count}"],
  left_title: ["留言", "Left messages"],
  left_text: [
    "这些访客在接入前就离开了。请通过其他方式回复，然后标记为已处理。",
    "These visitors left the line before anybody joined. Answer them in another way, then mark the message as handled.",
  ],
  left_empty: ["没有待处理的留言", "None waits for an answer"],
  left_handled: ["标记为已处理", "Mark as handled"],
  left_picture: ["[图片]", "[picture]"],

  // no open conversation
  placeholder_paused: ["您已暂停接待", "You are paused"],
  placeholder_paused_text: [
    "准备好后即可开始。新访客会按顺序分配给您，您可以随时暂停。",
    "Start when you are ready. Visitors come to you in the order of the line, and you can pause at any time.",
  ],
  placeholder_waiting: ["有访客在排队：{count}", "Visitors in line: {count}"],
  placeholder_ready: ["一切就绪", "All is quiet"],
  placeholder_ready_text: ["下一位访客会自动来到这里。", "The next visitor appears here by itself."],
  placeholder_disconnected: ["连接中断", "Not connected"],
  placeholder_disconnected_text: [
    "连接恢复后，下一位访客会自动来到这里。",
    "When the connection is back, the next visitor appears here by itself.",
  ],
  placeholder_choose: ["请选择一个会话", "Choose a conversation"],
  placeholder_choose_text: [
    "{keys} 会打开等待最久的会话。",
    "{keys} opens the one that has waited longest for an answer.",
  ],
  placeholder_choose_text_touch: [
    "等待最久的会话标有时间。",
    "The ones that wait for an answer show for how long.",
  ],

  // an open conversation
  empty_title: ["还没有消息", "Nothing was said yet"],
  empty_text: ["您可以先打个招呼。", "Begin with a greeting."],
  refused_over: ["会话在发送前已结束。", "The conversation ended before it could be sent."],
  back_to_list: ["返回列表", "Back to the list"],
  pin: ["并排保留", "Keep beside others"],
  details: ["访客信息", "About this visitor"],
  ask_help: ["请求督导", "Ask for help"],
  help_title: ["请督导协助您与{name}的对话", "Ask for help with {name}"],
  help_text: [
    "督导会收到通知，并可以查看此对话。用户不会看到。",
    "The supervisor is notified and can follow this conversation. The user is not told.",
  ],
  hand_over: ["转接", "Hand over"],
  end_talk: ["结束会话", "End conversation"],
  end_talk_title: ["结束与{name}的会话？", "End the conversation with {name}?"],
  end_talk_text: [
    "会话将对双方结束，之后不能再发送消息。",
    "It ends for both of you, and nobody can write afterwards.",
  ],
  not_ended: ["未能结束会话：{reason}", "The conversation goes on: {reason}"],
  over_parted: ["{name}已离开，会话已结束。", "{name} has left. The conversation is over."],
  over_ended: ["您已结束会话。", "You have ended the conversation."],
  over_handed: ["{name}已转接给其他客服。", "{name} was handed over."],
  over_missed: [
    "您没有及时回应，{name}已转给其他同事。",
    "You did not turn to {name} in time, so somebody else does.",
  ],
  over_lost: [
    "您断线期间，会话已结束或转给了其他客服。",
    "While you were disconnected it ended, or went to another agent.",
  ],
  over_unsent: ["有消息未能发出。", "Not everything you wrote was sent."],
  remove_case: ["从列表移除", "Remove from the list"],

  // handing over
  hand_title: ["将{name}转接给谁？", "Who takes over {name}?"],
  hand_text: ["接手的客服可以看到全部对话。", "They see everything that was said."],
  hand_to: ["接手的客服", "Who takes over"],
  hand_no_agent: ["目前没有其他空闲的客服。", "No other agent is free at the moment."],
  hand_room: ["{count} / {capacity} 个会话", "{count} of {capacity} {capacity:conversation|conversations}"],
  hand_choose: ["请选择接手的客服。", "Please choose who takes over."],
  hand_unclear: [
    "连接中断，暂不确定是否成功。会话若仍在列表中，请重试。",
    "The connection was lost, so it may or may not have worked. If the conversation is still in your list, try again.",
  ],
  hand_note: ["留言（可选）", "Note (optional)"],
  hand_note_text: ["只有接手的人能看到，访客看不到。", "Only for who takes over; visitors never see it."],
  hand_to_group: ["{group}的队列", "The line of {group}"],
  hand_to_group_text: [
    "排在最前，由下一位空闲的客服接手",
    "At the head of the line, for the next free agent",
  ],
  hand_done_group: ["{name}已回到{group}的队列。", "{name} is in the line of {group} again."],
  hand_offered: ["已请{waiter}接手{name}。", "{waiter} was asked to take over {name}."],
  hand_accepted: ["{waiter}已接手{name}。", "{waiter} has taken over {name}."],
  hand_declined: ["{waiter}不能接手，{name}仍由您接待。", "{waiter} has declined. {name} stays with you."],
  hand_expired: ["{waiter}没有回应，{name}仍由您接待。", "{waiter} did not answer. {name} stays with you."],
  hand_withdrawn: ["转接已取消，{name}仍由您接待。", "The offer was withdrawn. {name} stays with you."],
  hand_ended: ["{name}的转接已结束。", "The offer of {name} is over."],
  offers: ["转接给您", "Offered to you"],
  offer_from: ["{agent}请您接手{name}", "{agent} asks you to take over {name}"],
  offer_accept: ["接手", "Take over"],
  offer_decline: ["拒绝", "Decline"],
  offer_note_about: ["关于{name}的留言", "Note about {name}"],
  offer_note_read: ["知道了", "Got it"],
  hand_done: ["{name}已转接给{waiter}。", "{name} is with {waiter} now."],
  refresh: ["刷新", "Look again"],
  agent: ["客服 {id}", "Agent {id}"],

  // details of a client
  about_guest: [
    "访客未留下名字，这里显示的是代称，访客并不知道。",
    "A guest who has given no name. This one is made up, and the guest does not know it.",
  ],
  about_id: ["编号", "ID"],
  about_number: ["会话", "Conversation"],
  about_group: ["咨询组", "Group"],
  about_since: ["开始排队", "Joined the line"],
  earlier: ["以往会话", "Earlier conversations"],
  earlier_none: ["这是第一次会话。", "This is the first one."],
  earlier_loading: ["正在加载…", "Loading…"],
  earlier_over: ["访客在您这里时才能查看。", "They can be read while the visitor is with you."],
  earlier_more: ["更多", "Show more"],
  earlier_with: ["{waiter}，{count} 条消息", "{waiter}, {count} {count:message|messages}"],
  earlier_unanswered: ["未接待", "Nobody answered"],
  earlier_stars: ["评分 {rate}（满分 5）", "Rated {rate} of 5"],

  // signals
  note_message: ["发来新消息", "New message"],
  note_arrived: ["新访客：{name}", "New visitor: {name}"],
  note_arrived_text: ["正在等待您的接待", "Waits for you"],
  announce_arrived: ["{name}来到您这里。", "{name} is with you now."],
  announce_parted: ["{name}已离开。", "{name} has left."],

  // settings
  settings: ["设置", "Settings"],
  set_sound: ["提示音", "Sounds"],
  set_sound_text: ["不在看的会话有新消息时", "For what you are not looking at"],
  set_notifications: ["桌面通知", "Desktop notifications"],
  set_notifications_text: ["窗口不在前台时显示", "When this window is not in front"],
  set_notifications_denied: [
    "浏览器已阻止，请在网站设置中允许",
    "Blocked: allow them in the browser's site settings",
  ],
  set_notifications_none: ["此浏览器不支持", "This browser has none"],
  set_show_text: ["通知中显示消息内容", "Show messages in notifications"],
  set_show_text_text: ["旁人可能会看到", "Others may see your screen"],
  set_shortcuts: ["键盘快捷键", "Keyboard shortcuts"],
  set_shortcuts_text: ["按 ? 查看全部", "Press ? to see them"],
  replies: ["快捷回复", "Quick replies"],
  replies_text: [
    "在消息开头输入 / 和名称即可插入。{name} 会替换为访客的名字，匿名访客则略去。仅保存在此浏览器。",
    "Type / and the name to insert one. {name} becomes the visitor's name, and is left out for a guest. They are kept in this browser only.",
  ],
  reply_name: ["名称", "Name"],
  reply_words: ["内容", "Text"],
  reply_add: ["添加快捷回复", "Add a quick reply"],
  reply_remove: ["删除“{name}”", "Remove “{name}”"],
  reply_taken: ["已有同名的快捷回复。", "There is one of this name."],
  reply_name_bad: ["名称不能包含空格或 /。", "A name has no spaces and no /."],
  reply_count: [
    "{count} 条快捷回复，用上下键选择",
    "{count} quick {count:reply|replies}, choose with the arrow keys",
  ],
  reply_none: [
    "还没有快捷回复，可在设置中添加。",
    "There are no quick replies yet. Add some in the settings.",
  ],
  keep: ["保存", "Save"],
  sign_out: ["退出登录", "Sign out"],
  sign_out_unsent: ["还有未发出的消息，确定退出吗？", "Something was not sent yet. Sign out anyway?"],
  sign_out_open: [
    "您还有进行中的会话。退出后，访客会回到队首等待其他客服。确定退出吗？",
    "You still have conversations. If you sign out, these visitors go back to the head of the line. Sign out anyway?",
  ],
  write_hint: [
    "按 Enter 发送，Shift + Enter 换行，输入 / 使用快捷回复",
    "Enter sends, Shift + Enter starts a new line, / inserts a quick reply",
  ],

  // shortcuts
  keys: ["键盘快捷键", "Keyboard shortcuts"],
  keys_text: [
    "写消息时同样有效。可在设置中关闭。",
    "They work while you write, too. The settings can switch them off.",
  ],
  key_next: ["下一个会话", "Next conversation"],
  key_previous: ["上一个会话", "Previous conversation"],
  key_urgent: ["等待最久的会话", "The one that has waited longest"],
  key_write: ["回到输入框", "To the message field"],
  key_details: ["访客信息", "About the visitor"],
  key_hand: ["转接", "Hand over"],
  key_end: ["结束会话", "End the conversation"],
  key_ready: ["开始或暂停接待", "Take new visitors, or pause"],
  key_pin: ["并排保留", "Keep beside others"],
  key_reply: ["插入快捷回复", "Insert a quick reply"],
  key_help: ["显示此列表", "This list"],

  // instead of the page
  elsewhere_title: ["工作台已在其他窗口打开", "The desk is open elsewhere"],
  elsewhere_text: [
    "为避免重复接待，同一时间只能在一个窗口使用。您的会话都还在。",
    "It can be used in one window at a time. Nothing is lost: your conversations are all there.",
  ],
  use_here: ["在此使用", "Use it here"],
  token_text: ["请重新登录，会话都还在。", "Please sign in again. Your conversations are all there."],
  forbidden_title: ["您不能使用工作台", "You cannot use the desk"],
  forbidden_text: ["服务器给出的原因：{reason}", "The server's reason: {reason}"],
});
