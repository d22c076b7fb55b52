"""Texts of system messages and errors for clients, in zh_CN and en.

The zh_CN texts of the counselling system messages are part of the protocol, because deployed front ends
compare them: do not change them.
"""

from collections.abc import Mapping

from tornado_chat.core.errors import ChatError

Language = str

SYSTEM_TEXTS: Mapping[str, tuple[str, str]] = {
    # code: (zh_CN, en)
    "joined_user": ("来访者 {name}已进入会话", "Visitor {name} has joined the session"),
    "joined_consultant": ("咨询师 {name}已进入会话", "Counsellor {name} has joined the session"),
    "joined_waiter": ("客服 {name}已进入会话", "Agent {name} has joined the session"),
    "left_supervisor": ("督导 {name}已离开会话", "Supervisor {name} has left the session"),
    "joined_supervisor": ("督导 {name}已进入会话", "Supervisor {name} has joined the session"),
    "observing": ("有督导正在旁听此会话", "A supervisor has begun to listen in to this session"),
    "observing_ended": ("督导已停止旁听", "The supervisor has stopped listening in"),
    "agent_replaced": (
        "{previous}已将会话交接给 {name}",
        "{previous} has handed the session over to {name}",
    ),
    "session_started": ("会话已开始", "The session has started"),
    "session_ended": ("会话已结束", "The session has ended"),
    "new_conversation": ("您有新的对话", "You have a new conversation"),
    "transcript_of": ("会话 {id} 的记录, {time}", "Transcript of session {id}, {time}"),
    "transcript_of_record": ("督导记录 {id}, {time}", "Transcript of supervision record {id}, {time}"),
    "held_in_session": (
        "会话 {id} 有消息等待您审批, 请打开督导页面",
        "A message in session {id} waits for your approval: open the page for supervisors",
    ),
    "held_in_conversation": (
        "对话 {id} 有消息等待您审批, 请打开督导页面",
        "A message in conversation {id} waits for your approval: open the page for supervisors",
    ),
    "transcript_of_conversation": ("对话 {id} 的记录, {time}", "Transcript of conversation {id}, {time}"),
    "erased": ("[内容已删除]", "[erased]"),
    "error": ("错误: {text}", "Error: {text}"),
}

ERROR_TEXTS: Mapping[str, tuple[str, str]] = {
    # identity
    "token_missing": ("缺少令牌", "No token was given"),
    "token_expired": ("令牌已过期, 请重新登录", "The token has expired, sign in again"),
    "token_invalid": ("令牌无效: {reason}", "The token is not valid: {reason}"),
    "token_revoked": ("令牌已被撤销, 请重新登录", "The token was revoked, sign in again"),
    "token_refused": ("新令牌未被接受: {reason}", "The new token is not accepted: {reason}"),
    "token_too_often": (
        "更换令牌过于频繁, 请稍后再试",
        "A new token comes too soon after the last one, try again in some seconds",
    ),
    "other_person": (
        "新令牌必须属于同一人和同一角色",
        "The new token has to be of the same person and role",
    ),
    "too_many_revocations": (
        "撤销记录过多, 上限 {limit}, 请先删除一些",
        "Too many revocations: at most {limit}, undo some first",
    ),
    "no_such_revocation": ("{role} {id} 没有被撤销", "There is no revocation of {role} {id}"),
    "keys_unavailable": (
        "暂时无法验证令牌, 请稍后再试",
        "Tokens cannot be checked right now, try again soon",
    ),
    "role_not_allowed": ("角色 {role} 不能使用此接口", "The role {role} may not use this"),
    # accounts of the server itself
    "accounts_off": ("未开放账号登录", "Signing in with accounts is switched off"),
    "wrong_password": ("用户名或密码不正确", "The name or the password is wrong"),
    "account_disabled": ("此账号已停用, 请联系管理员", "This account is disabled, ask your administrator"),
    "too_many_attempts": (
        "尝试次数过多, 请在 {retry_after} 秒后重试",
        "Too many attempts, try again in {retry_after} s",
    ),
    "signed_out": ("请重新登录", "Nobody is signed in any more, sign in again"),
    "other_origin": (
        "此请求只能由本站页面发出",
        "Only pages of this server itself may ask for this",
    ),
    "origin_not_listed": (
        "此页面的来源未列入 [web] origins, 不能凭 Cookie 登录",
        "A cookie signs in only on pages of origins that [web] origins names; name this page's origin",
    ),
    # frames and requests
    "not_json": ("不是有效的 JSON: {reason}", "This is not valid JSON: {reason}"),
    "half_character": (
        "文字中有不完整的字符（半个表情符号）",
        "The text has half of a character (half an emoji)",
    ),
    "bad_shape": ("格式不正确: {reason}", "The form is not right: {reason}"),
    "bad_parameter": ("参数 {name} 无效: {reason}", "The parameter {name} is not valid: {reason}"),
    "unknown_key": (
        "没有 {key} 这个键; 可用的键: {known}",
        "There is no key {key}; the keys are {known}",
    ),
    "misspelt_key": (
        "没有 {key} 这个键; 最接近的键是 {nearest}",
        "There is no key {key}; the nearest one is {nearest}",
    ),
    "unknown_method": ("此地址不支持 {method}", "The resource does not support {method}"),
    "unknown_type": ("未知的消息类型 {type}", "Unknown message type {type}"),
    "empty_message": ("消息不能为空", "The message is empty"),
    "too_big": ("消息太大, 上限 {limit} 字节", "Too big: at most {limit} bytes"),
    "too_fast": ("发送太快, 请放慢速度", "Too fast: slow down"),
    "too_many_connections": ("连接过多, 上限 {limit}", "Too many connections: at most {limit}"),
    "too_many_errors": ("错误过多", "Too many errors"),
    "too_many_answers": (
        "同时下载过多, 请在 {retry_after} 秒后再试",
        "Too many large answers under way, try again in {retry_after} s",
    ),
    "too_many_anonymous": (
        "来自此地址的未登录连接过多, 请稍后再试",
        "Too many connections that have not signed in, try again soon",
    ),
    # counselling
    "no_such_session": ("会话 {id} 不存在", "There is no session {id}"),
    "no_such_record": ("督导记录 {id} 不存在", "There is no supervision record {id}"),
    "not_your_session": ("您不是此会话的参与者", "You take no part in this session"),
    "conversation_finished": ("对话已结束", "The conversation has ended"),
    "join_first": (
        "请先加入或接管此对话",
        "Join the conversation or take it over before you write in it",
    ),
    "takes_part": ("您已在此对话中", "You take part in this conversation already"),
    "handover_open": ("此会话正在等待交接", "A hand-over of this conversation is offered already"),
    "no_offer": ("没有可回应的交接邀请", "There is no offer that you can answer"),
    "no_handover": ("此会话没有交接记录", "This conversation was never offered to another agent"),
    "no_target": ("请指定接手人或咨询组", "Name the people to take over, or a group"),
    "not_agent": ("此会话现由他人接待", "Another person has this conversation now"),
    "session_finished": ("会话已结束", "The session has ended"),
    "only_your_sessions": ("只能列出自己的会话", "You can list your own sessions only"),
    "only_your_conversations": ("只能列出自己的对话", "You can list your own conversations only"),
    "not_awaited": ("没有需要等待的参与者", "No absent participant is awaited"),
    "waits_longest": ("等待时间已达上限", "The session waits as long as it may already"),
    "only_yourself": ("只能为自己创建会话", "You can open a session for yourself only"),
    "session_exists": ("会话 {id} 已存在", "There is already a session {id}"),
    "number_by_host": (
        "编号和咨询组只能由主系统指定, 请去掉 {name}",
        "Only the roles service and admin choose numbers and groups: leave out {name}",
    ),
    "numbers_used_up": (
        "没有可用的编号, 请联系管理员",
        "No number is left for it, ask your administrator",
    ),
    # consent
    "consent_first": (
        "请先阅读并同意使用说明, 再发送消息",
        "Read and accept the text that was shown first, then send your message",
    ),
    "consent_required": (
        "此处需要先同意使用说明, 但您的客户端无法显示; 请使用本站页面",
        "You have to accept a text first, which your client cannot show: use the page of this service",
    ),
    "consent_declined": (
        "您没有同意使用说明, 对话未开始",
        "You have not accepted the text, so the conversation has not begun",
    ),
    "no_consent_asked": ("目前没有需要同意的说明", "There is no text to accept now"),
    "other_consent_version": (
        "说明的版本不同, 当前版本为 {version}",
        "The text has another version, {version}: read it again",
    ),
    # support
    "auth_first": ("请先进行身份认证 (auth)", "Authenticate first (auth)"),
    "auth_timeout": ("未在规定时间内完成身份认证", "No authentication in time"),
    "not_connected": ("尚未连接客服, 请先发送 connect", "Not connected to a waiter, send connect first"),
    "still_waiting": ("正在排队, 请稍候", "Still waiting for a waiter"),
    "early_words_full": (
        "排队时最多可发送 {messages} 条消息、共 {bytes} 字节, 有人接入后可继续发送",
        "While you wait, at most {messages} messages with {bytes} bytes can be sent; send it again when an "
        "agent has joined",
    ),
    "no_such_left_message": ("没有留言 {id}", "There is no left message {id}"),
    "not_your_group": ("您不接待咨询组 {group}", "You do not serve the group {group}"),
    "to_missing": ("缺少接收者 to", "The receiver `to` is missing"),
    "not_your_user": ("{to} 不是您当前的用户", "{to} is not one of your users"),
    "no_such_group": ("没有可选的咨询组 {group}", "There is no group {group} that you can choose"),
    "no_such_waiter": ("没有可接待的客服 {id}", "The waiter {id} cannot take it"),
    "no_such_conversation": ("客服会话 {id} 不存在", "There is no support conversation {id}"),
    "not_your_conversation": ("您不是此对话的参与者", "You take no part in this conversation"),
    "paused_unaccepted": (
        "您连续没有回应新用户, 已暂停接待; 准备好后请重新上线",
        "You have not answered your last new users, and are paused: go on duty again when you are ready",
    ),
    "conversation_ended": ("会话已结束", "The conversation has ended"),
    "no_conversation": ("没有可用的会话", "There is no conversation to do this with"),
    # approvals
    "no_such_held_message": ("没有编号为 {id} 的待审消息", "There is no held message {id}"),
    "already_decided": (
        "此消息已由 {by} 处理 ({state})",
        "A decision on this message was made before by {by}: {state}",
    ),
    "earlier_held": (
        "请先处理同一发送者更早的待审消息 {id}",
        "Decide on the earlier message {id} of the same sender first",
    ),
    "sender_left": (
        "发送者已不再负责此会话, 消息不能发出",
        "Its sender does not serve the conversation any more, so it cannot be sent",
    ),
    "only_texts_edited": (
        "图片不能修改, 只能批准或拒绝",
        "An image cannot be edited, only approved or refused",
    ),
    "not_approved": ("未发送: 督导未批准此消息", "Not sent: a supervisor has refused this message"),
    "not_approved_note": (
        "未发送: 督导未批准此消息: {note}",
        "Not sent: a supervisor has refused this message: {note}",
    ),
    "approval_expired": (
        "未发送: 没有督导及时批准此消息, 或会话已结束",
        "Not sent: no supervisor has approved this message in time, or the conversation has ended",
    ),
    # plugins
    "refused": ("未发送: {reason}", "Not sent: {reason}"),
    "not_allowed": ("您没有此操作的权限", "You are not allowed to do this"),
    "not_checked": ("暂时无法核验, 请稍后再试", "This cannot be checked right now, try again soon"),
    "check_failed": (
        "未发送: 内容检查出错; 原样重发没有帮助, 请修改内容或联系管理员",
        "Not sent: the check of this text has failed. The same text would fail again: change it, or tell the "
        "operator",
    ),
    # storage and the server itself
    "no_such_notification": ("通知 {id} 不存在", "There is no notification {id}"),
    "no_such_page": ("没有这个地址", "There is nothing at this address"),
    "not_stored": ("消息未能保存, 请重新发送", "It could not be stored, send it again"),
    "internal_error": (
        "服务器内部出错, 未能完成; 重复操作不会有帮助, 请联系管理员",
        "The server has a fault and could not do this. Doing it again does not help: tell the operator",
    ),
    "database_away": ("数据库暂时不可用, 请稍后再试", "The database does not answer, try again soon"),
    "no_coordinator": (
        "服务器正在恢复协调, 请稍后再试",
        "The server's processes are finding each other again, try again in some seconds",
    ),
    "overloaded": ("服务器繁忙, 请稍后再试", "The server is overloaded, try again soon"),
    "restarting": ("服务器正在重启, 请重新连接", "The server is restarting, connect again"),
    "guests_off": ("未开放匿名访问", "Anonymous access is switched off"),
    "no_guest": ("这不是匿名用户的令牌", "This is not the token of an anonymous user"),
}


def system_text(language: Language, code: str, **detail: object) -> str:
    """Return the system text ``code`` in ``language`` (``zh_CN`` or ``en``)."""
    return SYSTEM_TEXTS[code][_language_index(language)].format(**detail)


def error_text(language: Language, error: ChatError) -> str:
    """Return the text of ``error`` for the client that caused it: the reason and the advice."""
    return ERROR_TEXTS[error.text_key][_language_index(language)].format(**error.detail_in(language))


def preferred_language(accepted: str) -> Language:
    """Return ``zh_CN`` or ``en``: the preferred of these in an ``Accept-Language`` header, else ``en``."""
    ranges = []
    for position, language_range in enumerate(accepted.split(",")):
        name, _, quality = language_range.strip().partition(";q=")
        try:
            ranges.append((-float(quality or 1), position, name.lower()))
        except ValueError:
            continue
    for _, _, name in sorted(ranges):
        if name.partition("-")[0] in ("zh", "en"):
            return "zh_CN" if name.startswith("zh") else "en"
    return "en"


def _language_index(language: Language) -> int:
    return 0 if language == "zh_CN" else 1
