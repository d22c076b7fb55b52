// @ts-check
/**
 * The dashboard's own texts, in zh_CN and en.
 *
 * @module
 */

import { addTexts } from "../shared/strings.js";

addTexts({
  admin: ["服务器状态", "Server status"],
  admin_attention: ["（有问题）服务器状态", "(Problem) Server status"],

  // health
  loading: ["正在获取数据…", "Getting the numbers…"],
  serving: ["正常服务", "Serving"],
  not_serving: ["无法正常服务", "Not serving"],
  no_answer: ["没有响应", "No answer"],
  as_of: ["数据时间 {clock}", "As of {clock}"],
  as_of_ago: ["数据时间 {clock}（{ago}前）", "As of {clock}, {ago} ago"],
  up: ["已运行 {duration}", "Up for {duration}"],

  // the server does not answer
  away_title: ["服务器没有响应", "The server does not answer"],
  away_first: [
    "尚未取得数据。页面每 2 秒自动重试。",
    "There are no numbers yet. This page tries again every 2 seconds.",
  ],
  away_text: [
    "以下是最后一次取得的数据。页面每 2 秒自动重试；若持续无响应，请在服务器上查看：",
    "The numbers below are the last ones it gave. This page tries again every 2 seconds. If that goes on, look on its machine:",
  ],
  away_offline: [
    "此设备已离线。网络恢复后页面会自动更新。",
    "This device is offline. The page goes on by itself when the network is back.",
  ],
  away_said: ["服务器答复：{reason}", "It answered: {reason}"],

  // problems, and what to do
  problems: ["问题与提醒", "Problems"],
  problem_said: ["服务器报告：{words}", "The server says: {words}"],
  problem_database: ["数据库无法写入", "The database does not take messages"],
  problem_database_full: [
    "磁盘已满，消息无法保存。请清理或扩容磁盘，之后会自动恢复。",
    "The disk is full, so messages cannot be stored. Make room on it; the server goes on by itself.",
  ],
  problem_database_slow: [
    "数据库没有响应。请检查磁盘是否正常，或 MySQL 是否在运行。",
    "It hangs. Look whether the disk works, or whether MySQL is running.",
  ],
  problem_database_access: [
    "服务器没有写入权限。请检查数据目录的所有者和权限。",
    "The server may not write there. Check the owner and the permissions of the state directory.",
  ],
  problem_database_other: [
    "消息暂时无法保存。请查看日志中的原因。",
    "Messages cannot be stored at the moment. The log has the reason.",
  ],
  problem_server: ["服务器即将停止", "The server is about to stop"],
  problem_server_text: [
    "不再接受新的连接。如果不是计划内的重启，请查看日志。",
    "New connections are refused. If you did not plan a restart, look at the log.",
  ],
  problem_other: ["“{part}”出现问题", "Something is wrong with “{part}”"],
  problem_other_text: ["请查看日志中的原因。", "The log has the reason."],
  notice_no_agent: ["有人在排队，但没有客服可接待", "People are waiting and no agent can take them"],
  notice_no_agent_text: [
    "请让客服打开工作台并开启“接待新访客”。",
    "Ask an agent to open the support desk and switch on “Take new visitors”.",
  ],
  notice_plugin: ["插件 {name} 已暂停", "Plugin {name} is suspended"],
  notice_plugin_text: [
    "它连续失败，暂时不会被调用；消息照常收发。原因在日志中：",
    "It kept failing and is not called for now; messages go on without it. The log has the reason:",
  ],
  notice_errors: ["数据库出过错", "The database has made errors"],
  notice_errors_text: [
    "自启动以来共 {count} 次操作失败。详情在日志中：",
    "Since the start it has refused something {count} {count:time|times}. The log has the details:",
  ],
  notice_lag: ["服务器响应迟缓", "The server is held up"],
  notice_lag_text: [
    "事件循环延迟明显。常见原因是插件阻塞或 CPU 不足，请查看日志：",
    "Its loop runs late. Most often a plugin blocks it or the machine is short of CPU. Look at the log:",
  ],

  // charts
  live: ["实时数据", "Live numbers"],
  chart_sockets: ["连接数", "Sockets open"],
  chart_line: ["排队人数", "People in line"],
  chart_wait: ["最长等待", "Longest wait"],
  chart_messages: ["每秒消息数", "Messages per second"],
  chart_delivery: ["送达耗时", "Time to deliver"],
  chart_lag: ["事件循环延迟", "Loop lag"],
  received: ["收到", "received"],
  delivered: ["送达", "delivered"],
  half: ["50% 的消息", "50% within"],
  nearly_all: ["99% 的消息", "99% within"],
  per_second: ["{rate} 条/秒", "{rate}/s"],
  line_free: ["{count} 位客服可接待", "Agents with room: {count}"],
  wait_empty: ["没有人在等待", "Nobody is waiting"],
  last_minute: ["最近一分钟", "In the last minute"],
  no_messages: ["最近一分钟没有消息", "No messages in the last minute"],
  lag_note: ["最近 20 秒内的最大值", "Worst of the last 20 s"],
  range: ["最低 {least}，最高 {most}", "Lowest {least}, highest {most}"],
  range_none: ["这段时间没有数据", "Nothing to show for this time"],
  ago_15: ["15 分钟前", "15 min ago"],
  now: ["现在", "now"],
  chart_label: [
    "{title}，最近 15 分钟：{values}。{range}",
    "{title}, the last 15 minutes: {values}. {range}",
  ],
  as_table: ["查看数据表", "As a table"],
  table_of: ["{title}的数据表", "{title}, as a table"],
  table_empty: [
    "服务器每 10 秒记录一次，第一条很快就到。",
    "The server notes them every 10 seconds; the first are on their way.",
  ],
  time: ["时间", "Time"],

  // lists
  total: ["共 {count}", "{count} in all"],
  cut: ["仅显示前 {shown} 条，共 {count} 条。", "The first {shown} of {count}."],
  since: ["起始时间", "Since"],
  state: ["状态", "State"],
  people: ["参与者", "People"],
  person: ["{role} {id}", "{role} {id}"],
  named_person: ["{role} {name}（{id}）", "{role} {name} ({id})"],
  is_here: ["（在线）", " (here)"],
  is_away: ["（不在线）", " (away)"],

  groups: ["咨询组", "Groups"],
  groups_empty: ["没有咨询组。", "There are no groups."],
  group: ["咨询组", "Group"],
  group_agents: ["客服人数", "Agents"],
  group_free: ["可接待", "Free"],
  group_waiting: ["排队人数", "In line"],
  group_longest: ["最长等待", "Longest wait"],
  group_expected: ["预计等待", "Expected wait"],

  line: ["排队", "The line"],
  line_empty: ["没有人在排队。", "Nobody is waiting."],
  place: ["位置", "Place"],
  visitor: ["访客", "Visitor"],
  conversation_number: ["会话", "Conversation"],
  waits: ["已等待", "Waiting for"],

  waiters: ["客服", "Support agents"],
  waiters_empty: [
    "没有客服在线。客服打开工作台后会显示在这里。",
    "No agent is here. Agents appear when they open the support desk.",
  ],
  waiter: ["客服", "Agent"],
  load: ["会话数", "Conversations"],
  load_of: ["{count} / {capacity}", "{count} of {capacity}"],
  state_free: ["可接待", "Ready"],
  state_busy: ["已满", "Full"],
  state_paused: ["已暂停", "Paused"],
  state_away: ["暂时离开", "Away"],

  conversations: ["客服会话", "Support conversations"],
  conversations_empty: ["当前没有客服会话。", "No conversation at the moment."],
  rooms: ["咨询与督导", "Counselling and supervision"],
  rooms_empty: [
    "当前没有进行中的咨询。有人进入会话后会显示在这里。",
    "No session at the moment. Sessions appear when a participant enters.",
  ],
  room: ["会话", "Session"],
  kind_conversation: ["会话 {id}", "No. {id}"],
  kind_session: ["咨询 {id}", "Session {id}"],
  kind_record: ["督导 {id}", "Supervision {id}"],
  state_waiting: ["等待中", "Waiting"],
  state_active: ["进行中", "Active"],
  state_prepared: ["待开始", "Not begun"],

  plugins: ["插件", "Plugins"],
  plugins_empty: ["没有加载插件。", "No plugins are loaded."],
  plugin: ["插件", "Plugin"],
  state_running: ["运行中", "Running"],
  state_suspended: ["已暂停", "Suspended"],
  until: ["至 {clock}", "until {clock}"],
  calls: ["调用次数", "Calls"],
  failures: ["失败次数", "Failures"],
  per_call: ["平均耗时", "Time per call"],

  // the machine
  database: ["数据库", "Database"],
  kind: ["类型", "Kind"],
  size: ["大小", "Size"],
  last_commit: ["最近写入", "Last write"],
  never: ["尚未写入", "None yet"],
  backlog: ["待处理", "Waiting for it"],
  errors: ["错误（自启动）", "Errors since the start"],
  process: ["进程", "Process"],
  version: ["版本", "Version"],
  python: ["Python 版本", "Python"],
  process_number: ["进程号", "Process number"],
  started: ["启动时间", "Started"],
  memory: ["内存", "Memory"],
  unknown: ["未知", "Not known"],
});
