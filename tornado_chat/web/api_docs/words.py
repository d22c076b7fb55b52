"""The labels of the documentation pages, in zh_CN and en. The texts of the documents are in English."""

from collections.abc import Mapping

TRANSLATIONS: Mapping[str, tuple[str, str]] = {
    # key: (zh_CN, en)
    "title_http": ("HTTP 接口", "HTTP API"),
    "title_sockets": ("WebSocket 协议", "WebSockets"),
    "contents": ("目录", "Contents"),
    "skip": ("跳到正文", "Skip to the contents"),
    "pages": ("文档", "Documentation"),
    "as_openapi": ("机器可读 (OpenAPI 3.1)", "For machines (OpenAPI 3.1)"),
    "as_asyncapi": ("机器可读 (AsyncAPI 3.0)", "For machines (AsyncAPI 3.0)"),
    "version": ("版本", "Version"),
    "before_you_start": ("开始之前", "Before you start"),
    "tokens": ("令牌", "Tokens"),
    "for_the_commands": ("以下命令使用这两个变量", "The commands below use these two variables"),
    "who": ("谁可以调用", "Access"),
    "who_connects": ("谁可以连接", "Access"),
    "parameters": ("参数", "Parameters"),
    "body": ("请求体", "Request body"),
    "request": ("请求", "Request"),
    "answer": ("响应", "Response"),
    "errors": ("错误", "Errors"),
    "errors_everywhere": (
        "每个请求都可能得到以下错误，以及各接口自己的错误。",
        "Every request may get these errors, and those of its operation.",
    ),
    "field": ("字段", "Field"),
    "fields": ("字段", "Fields"),
    "meaning": ("说明", "Meaning"),
    "status": ("状态码", "Status"),
    "code": ("代码", "Code"),
    "optional": ("可选", "optional"),
    "may_be_absent": ("可能缺失", "may be absent"),
    "from_client": ("客户端发送", "Clients send"),
    "to_client": ("客户端收到", "Clients get"),
    "nothing_sent": ("客户端不发送任何内容。", "Clients send nothing here."),
    "features": ("可选功能", "Features"),
    "feature": ("需启用", "opt-in"),
    "in_address": (
        "在地址中启用，例如 features=ack,seq。未启用的客户端只会收到已公布的帧。",
        "Requested in the query, for example features=ack,seq. A client that requests no feature gets only "
        "the published frames.",
    ),
    "in_auth": (
        '在 auth 的 payload 中启用，例如 "features": ["ack", "seq"]。未启用的客户端只会收到已公布的帧。',
        'Requested in the payload of auth, for example "features": ["ack", "seq"]. A client that requests no '
        "feature gets only the published frames.",
    ),
    "close_codes": ("关闭码", "Close codes"),
    "server_closes": ("服务器关闭连接的原因", "Closed by the server"),
    "client_closes": ("客户端关闭连接的含义", "Closed by the client"),
    "counselling": ("咨询", "Counselling"),
    "support": ("客服", "Support"),
    "connect": ("连接", "Connect"),
    "copy": ("复制", "Copy"),
    "copied": ("已复制", "Copied"),
    "not_copied": ("无法复制，请手动选择", "Could not copy, select it by hand"),
    "media": ("格式", "Formats"),
}


def words(language: str) -> dict[str, str]:
    """Return all labels by key in one language, ``zh-CN`` or ``en``."""
    column = 0 if language == "zh-CN" else 1
    return {key: texts[column] for key, texts in TRANSLATIONS.items()}
