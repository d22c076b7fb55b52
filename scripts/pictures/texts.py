"""The names and the messages of the sample people in the screenshots, in both languages."""

from typing import NamedTuple


class SceneTexts(NamedTuple):
    """The texts of one language.

    A line is a pair of the sender and the text. Sender 0 begins: the visitor, or the consultant with a
    supervisor; sender 1 is the other side.
    """

    people: dict[int, str]
    sessions: list[list[tuple[int, str]]]
    records: list[list[tuple[int, str]]]
    alert: str
    support: list[list[str]]
    answer: str
    question: str
    welcome: str


VISITOR, COUNSELLOR, OTHER_VISITOR, OTHER_COUNSELLOR, SUPERVISOR = 1, 2, 3, 4, 5
AGENT, GREETER, ADMIN = 6, 7, 8
CUSTOMERS = (11, 12, 13)
WAITING_USERS = (14, 15)

TALKS = {
    "en": SceneTexts(
        people={
            1: "Lin Yue",
            2: "Chen Wei",
            3: "Ana Ruiz",
            4: "Tom Weber",
            5: "Dr. Wu",
            6: "Kim Larsen",
            7: "Sam",
            8: "Grace",
            11: "Mia Novak",
            12: "Omar Haddad",
            13: "Ida Berg",
            14: "Paul Adler",
            15: "Noor Aziz",
        },
        sessions=[
            [
                (0, "Thank you for making time today. I did not know whom else to ask."),
                (1, "I am glad you are here. There is no hurry; begin wherever you like."),
                (0, "I have not slept well for weeks, and at work everything takes twice as long."),
                (1, "That sounds exhausting. When did you first notice it?"),
                (0, "After we moved. I thought it would pass by itself."),
                (1, "Moving turns a lot upside down, even when one wanted it. What are your evenings like?"),
            ],
            [
                (0, "He came home late again, and I just stood in the hall."),
                (1, "What went through your mind there?"),
                (0, "That I cannot go on like this much longer."),
            ],
        ],
        records=[
            [
                (0, "She speaks of sleep, but I think it is about the move."),
                (1, "I agree. Stay with the evenings a little."),
            ],
            [(0, "Would you ask directly what she means?"), (1, "Yes, now, and in plain words.")],
        ],
        alert="A sentence needs somebody's attention.",
        support=[
            ["My parcel says delivered, but nothing is here.", "It was number 20417."],
            ["Can I change the size of an order from this morning?"],
            ["The invoice has the wrong address on it.", "Could you correct it?"],
        ],
        answer="I am sorry about that. Let me look where it is.",
        question="Do you mend old cook books, too?",
        welcome="Hello, this is Sam. We do; most take two weeks. How many pages are loose?",
    ),
    "zh": SceneTexts(
        people={
            1: "林悦",
            2: "陈伟",
            3: "王安",
            4: "周明",
            5: "吴督导",
            6: "金晓",
            7: "小孙",
            8: "高洁",
            11: "米雅",
            12: "赵宁",
            13: "艾达",
            14: "潘楠",
            15: "何雨",
        },
        sessions=[
            [
                (0, "谢谢您今天抽出时间，我不知道还能找谁。"),
                (1, "很高兴您来了。不用着急，想从哪里开始都可以。"),
                (0, "我已经好几个星期睡不好了，上班做什么都要花两倍的时间。"),
                (1, "听起来很累。您是从什么时候开始注意到的？"),
                (0, "搬家以后。我以为过一阵就会好。"),
                (1, "搬家会打乱很多东西，即使是自己想搬。晚上通常是怎么过的？"),
            ],
            [
                (0, "他昨晚又很晚才回来，我就那样站在走廊里。"),
                (1, "那一刻您在想什么？"),
                (0, "我在想，这样的日子我撑不了多久了。"),
            ],
        ],
        records=[
            [(0, "她一直在说睡眠，我觉得和搬家有关。"), (1, "同意。可以多听听她晚上的情况。")],
            [(0, "要直接问她是什么意思吗？"), (1, "要，现在就问，说得直白一些。")],
        ],
        alert="有一句话需要留意。",
        support=[
            ["包裹显示已签收，可是我没有收到。", "订单号是 20417。"],
            ["今天早上下的订单还能改尺码吗？"],
            ["发票上的地址不对。", "可以帮我改一下吗？"],
        ],
        answer="很抱歉，我马上帮您查包裹在哪里。",
        question="旧菜谱也可以修吗？",
        welcome="您好，我是小孙。可以的，一般需要两周。请问有多少页松动了？",
    ),
}
