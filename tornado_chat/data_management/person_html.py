"""A person's data as one self-contained HTML page, to read and to print."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import msgspec
from tornado.escape import xhtml_escape

from tornado_chat.core.texts import Language

TEXTS: Mapping[str, tuple[str, str]] = {
    # name: (zh_CN, en)
    "title": ("个人数据副本", "A copy of your personal data"),
    "about": (
        "本文件包含此服务器保存的关于 {who} 的全部数据，生成于 {made}。对话中的其他人仅以角色表示。"
        "同一内容的机器可读版本在 person.json 中。",
        "This is everything that this server keeps about {who}, as of {made}. Others in the conversations "
        "are named by their role only. person.json has the same for programs.",
    ),
    "names": ("称呼", "Called"),
    "contents": ("目录", "Contents"),
    "sessions": ("咨询会话", "Counselling sessions"),
    "supervisions": ("督导记录", "Supervision records"),
    "conversations": ("客服对话", "Support conversations"),
    "listened": ("旁听过的对话", "Conversations listened in to"),
    "held_messages": ("待审消息", "Messages held for an approval"),
    "approvals": ("审批", "Approvals"),
    "accounts": ("账号", "Accounts"),
    "revocations": ("令牌撤销", "Refused tokens"),
    "handled_messages": ("已处理的留言", "Left messages handled"),
    "left_message": ("留言", "Left as a message"),
    "handovers": ("会话交接", "Hand-overs"),
    "notifications": ("通知", "Notifications"),
    "operations": ("对这些数据的操作", "What was done with these data"),
    "plugin": ("扩展 {plugin}: {table}", "Plugin {plugin}: {table}"),
    "one": ("{section} {id}", "{section} {id}"),
    "session": ("会话", "Session"),
    "supervision": ("督导", "Supervision"),
    "conversation": ("对话", "Conversation"),
    "none": ("无", "None"),
    "nothing_said": ("没有消息", "Nothing was said"),
    "read_until": ("已读至第 {seq} 条", "You have read up to message {seq}"),
    "you": ("本人", "You"),
    "user": ("来访者/用户", "Visitor"),
    "consultant": ("咨询师", "Counsellor"),
    "supervisor": ("督导", "Supervisor"),
    "bot": ("机器人", "Bot"),
    "waiter": ("客服", "Support"),
    "admin": ("管理员", "Administrator"),
    "service": ("系统", "System"),
    "with": ("对方", "With"),
    "stays": ("参与时间", "Took part"),
    "consents": ("已同意的说明", "Consents given"),
    "until_now": ("至今", "now"),
    "state": ("状态", "State"),
    "created": ("创建", "Opened"),
    "started": ("开始", "Started"),
    "assigned": ("接入", "Answered"),
    "ended": ("结束", "Ended"),
    "about_session": ("所属会话", "About session"),
    "about_conversation": ("所属对话", "About conversation"),
    "appointment": ("预约", "Appointment"),
    "rate": ("评分", "Stars"),
    "feedback": ("评价", "Feedback"),
    "claims": ("排队信息", "For the queue"),
    "group": ("咨询组", "Group"),
    "ready": ("未开始", "never begun"),
    "active": ("进行中", "going on"),
    "waiting": ("等待中", "waiting"),
    "completed": ("已完成", "completed"),
    "cancelled": ("已取消", "cancelled"),
    "image": ("[图片] ", "[picture] "),
}
SINGULAR_NAMES = {"sessions": "session", "supervisions": "supervision", "conversations": "conversation"}

CONVERSATION_FIELDS = (
    "state",
    "created",
    "started",
    "assigned",
    "ended",
    "session",
    "conversation",
    "appointment",
    "rate",
    "feedback",
    "claims",
    "group",
    "left_message",
)
"""The facts of a conversation that the page shows, in this order, as far as they have values."""

STYLE = """
:root {
  color-scheme: light dark; --page: #fff; --ink: #14181d; --link: #0b57c2; --quiet: #5b6470;
  --line: #d8dde3; --own: #e4eefb; --tint: #f4f6f8
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161b; --ink: #e6e9ed; --link: #8ab4f8; --quiet: #9aa4b0;
    --line: #39424d; --own: #1d3350; --tint: #1c2229
  }
}
* { box-sizing: border-box }
html { background: var(--page); color: var(--ink) }
a { color: var(--link) }
body {
  font: 1rem/1.55 system-ui, "Noto Sans CJK SC", sans-serif; max-width: 48rem;
  margin: 2.5rem auto; padding: 0 1.25rem
}
h1 { font-size: 1.7rem; line-height: 1.25 }
h2 { margin-top: 3rem; padding-bottom: .3rem; border-bottom: 2px solid var(--line) }
h3 { margin: 2.2rem 0 .6rem }
.quiet, dl.facts, time { color: var(--quiet); font-size: .875rem }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0 0 1rem }
dl.facts dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap }
ol.said { list-style: none; margin: 0; padding: 0 }
ol.said li {
  margin: .5rem 0; padding: .5rem .8rem; border-radius: .6rem; background: var(--tint); break-inside: avoid
}
ol.said li.you { background: var(--own) }
ol.said p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; min-width: 34rem; font-size: .875rem }
th, td {
  text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere
}
th { color: var(--quiet); font-weight: 600 }
.wide { overflow-x: auto }
@media print {
  :root {
    color-scheme: light; --page: #fff; --ink: #000; --quiet: #444; --line: #bbb; --own: #eef3fa; --tint: #fff
  }
  body { font-size: 10.5pt; margin: 0; max-width: none; padding: 0 }
  ol.said li { border: 1px solid var(--line); padding: .3rem .6rem }
  h2, h3 { break-after: avoid }
  a { color: inherit; text-decoration: none }
  nav { display: none }
  .wide { overflow: visible }
  table { min-width: 0 }
}
"""


class PersonPage:
    """Writes the page from top to bottom."""

    def __init__(self, file: TextIO, language: Language) -> None:
        self._file = file
        self._column = 0 if language == "zh_CN" else 1
        self._language = language.replace("_", "-")

    def begin(self, head: Mapping[str, Any], counts: Mapping[str, int]) -> None:
        person = head["person"]
        who = f"{self._label(person['role'])} {person['id']}"
        title = xhtml_escape(self._text("title"))
        about = xhtml_escape(self._text("about", who=who, made=_format_time(head["made"])))
        self._write(
            f'<!DOCTYPE html>\n<html lang="{self._language}">\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="robots" content="noindex">\n<title>{title}</title>\n<style>{STYLE}</style>\n'
            f"<main>\n<h1>{title}</h1>\n<p>{about}</p>"
        )
        if person["names"]:
            self._facts([(self._text("names"), ", ".join(person["names"]))])
        entries = [(name, f"{self._text(name)} ({counts[name]})") for name in SINGULAR_NAMES if counts[name]]
        entries.append(("notifications", self._text("notifications")))
        links = "".join(f'<li><a href="#{name}">{xhtml_escape(text)}</a>' for name, text in entries)
        self._write(f"<nav><h2>{xhtml_escape(self._text('contents'))}</h2><ul>{links}</ul></nav>")

    def section(self, name: str, count: int) -> None:
        if count:
            self._write(f'<h2 id="{name}">{xhtml_escape(self._text(name))}</h2>')

    def conversation(self, section: str, entry: Mapping[str, Any]) -> None:
        name = self._text(SINGULAR_NAMES[section])
        self._write(f"<section><h3>{xhtml_escape(self._text('one', section=name, id=entry['id']))}</h3>")
        facts = [(self._text("with"), ", ".join(self._label(role) for role in entry["others"]))]
        for fact in CONVERSATION_FIELDS:
            if entry.get(fact) is not None:
                label = self._text(f"about_{fact}" if fact in ("session", "conversation") else fact)
                facts.append((label, self._value(fact, entry[fact])))
        stays = [
            f"{_format_time(stay['joined'])} – "
            + (self._text("until_now") if stay["left"] is None else _format_time(stay["left"]))
            for stay in entry["stays"]
        ]
        facts.append((self._text("stays"), "\n".join(stays)))
        given = [
            f"{_format_time(each['accepted'])}: {each['group']} {each['version']} ({each['language']})"
            for each in entry.get("consents", ())
        ]
        facts.append((self._text("consents"), "\n".join(given)))
        self._facts([(label, text) for label, text in facts if text])
        if entry["messages"]:
            self._write('<ol class="said">')
            for message in entry["messages"]:
                self._message(message)
            self._write("</ol>")
        else:
            self._write(f'<p class="quiet">{xhtml_escape(self._text("nothing_said"))}</p>')
        if entry["read"]:
            self._write(f'<p class="quiet">{xhtml_escape(self._text("read_until", seq=entry["read"]))}</p>')
        self._write("</section>")

    def notifications(self, items: Iterable[Mapping[str, Any]]) -> None:
        self._write(f'<h2 id="notifications">{xhtml_escape(self._text("notifications"))}</h2>')
        empty = True
        for item in items:
            if empty:
                self._write('<ol class="said">')
                empty = False
            data = (
                ""
                if item["data"] is None
                else f'<p class="quiet">{xhtml_escape(_format_value(item["data"]))}</p>'
            )
            self._write(
                f"<li><time>{_format_time(item['time'])}</time><p>{xhtml_escape(item['msg'])}</p>{data}</li>"
            )
        self._write(f'<p class="quiet">{xhtml_escape(self._text("none"))}</p>' if empty else "</ol>")

    def table(self, title: str, rows: Sequence[Mapping[str, Any]], **values: object) -> None:
        """Write rows with the same columns as a table; nothing if there are no rows."""
        if not rows:
            return
        columns = list(rows[0])
        head = "".join(f"<th>{xhtml_escape(name)}</th>" for name in columns)
        self._write(f"<h2>{xhtml_escape(self._text(title, **values))}</h2>")
        self._write(f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>')
        for row in rows:
            cells = "".join(f"<td>{xhtml_escape(_format_value(row.get(name)))}</td>" for name in columns)
            self._write(f"<tr>{cells}</tr>")
        self._write("</tbody></table></div>")

    def end(self) -> None:
        self._write("</main>\n</html>")

    # --- inside ---

    def _message(self, message: Mapping[str, Any]) -> None:
        sender = self._label(message["from"])
        kind = ' class="you"' if message["from"] == "you" else ""
        text = (self._text("image") if message["media"] == "image" else "") + message["text"]
        self._write(
            f"<li{kind}><strong>{xhtml_escape(sender)}</strong> <time>{_format_time(message['time'])}</time>"
            f"<p>{xhtml_escape(text)}</p></li>"
        )

    def _facts(self, facts: Sequence[tuple[str, str]]) -> None:
        rows = "".join(f"<dt>{xhtml_escape(name)}</dt><dd>{xhtml_escape(text)}</dd>" for name, text in facts)
        self._write(f'<dl class="facts">{rows}</dl>')

    def _value(self, fact: str, value: Any) -> str:
        if fact == "state":
            return self._label(value)
        if fact == "rate":
            return "★" * int(value)
        if fact in ("created", "started", "assigned", "ended"):
            return _format_time(value)
        return _format_value(value)

    def _label(self, word: str) -> str:
        """Return the text for a role or a state; other words stay as they are."""
        return self._text(word) if word in TEXTS else word

    def _text(self, name: str, **values: object) -> str:
        return TEXTS[name][self._column].format(**values)

    def _write(self, html: str) -> None:
        self._file.write(html + "\n")


def _format_time(time: str) -> str:
    """Return an ISO 8601 time as ``2025-03-20 08:26:45`` with the zone's offset."""
    return f"{time[:19].replace('T', ' ')} {time[23:]}"


def _format_value(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
