"""What generated posts say, in the languages and the markup that Steem had in 2018."""

TAGS = (
    "life", "photography", "kr", "art", "steemit", "food", "travel", "deutsch", "spanish", "cn",
    "russian", "introduceyourself",
)  # fmt: skip
SENTENCES = (
    "The harbour was quiet this morning and the light was better than any filter.",
    "I have been collecting these for eleven years, and this one still surprises me.",
    "Please resteem if you want to see the second part tomorrow!",
    "Here is the recipe: [two cups of flour](https://example.com/recipe), salt, patience.",
    "![sunset.jpg](https://example.com/images/sunset.jpg)",
    "Powering up the whole payout again; see you at the next **meetup**.",
    "Heute früh lag Nebel über der Straße, und die Brücke war kaum zu sehen.",
    "Größere Schritte wären möglich gewesen, meinte der Zürcher Gärtner.",
    "오늘은 날씨가 정말 좋아서 공원에서 사진을 많이 찍었습니다.",
    "한국의 맛집을 소개합니다. 다음에 또 만나요!",
    "Сегодня мы были на рынке и купили очень вкусные яблоки.",
    "今天的天气很好，我们去公园散步了。",  # noqa: RUF001
    "¡Qué día más bonito! Mañana seguiré con la segunda parte del viaje.",
    "L'été dernier, nous avons traversé les Pyrénées à pied — c'était magnifique.",
    "Upvoted \U0001f600 thank you for sharing \u2764\ufe0f",
    '> quoted: "it works on my machine", with a tab\there and a backslash \\ there',
    "<center>This post was made with care & without <b>any</b> bot.</center>",
    "Day 42 of the challenge: 10.000 steps, 3.141 STEEM earned, 0 regrets.",
)
TITLES = (
    "Morning light", "My first week on Steem", "Zürich im Nebel", "사진 이야기", "Рынок в субботу",
    "公园散步", "Día de playa", "Ten things I learned", "Sourdough, again", "Weekly report",
)  # fmt: skip
