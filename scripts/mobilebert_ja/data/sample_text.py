"""Text of the embedded sample: encyclopedic articles and small essays made up by a generator, and hand-written lines.

Everything is written for this repository. Places, persons, companies and products are invented; a resemblance to real
ones is chance. The same seed gives the same text on every machine.
"""

from __future__ import annotations

import random

FIRST = "青赤白黒金銀東西南北上下大小高長広深新古松竹梅桜杉藤菊葉花月日星雲雪風水石岩森林"
SECOND = "川山田野原島崎浜浦沢池谷坂橋口井木村里町津江瀬戸塚岡丘峰泉"
FAMILY = [
    "青砥",
    "石動",
    "梅津",
    "江頭",
    "小鳥遊",
    "霞",
    "木更",
    "久遠",
    "小桜",
    "早乙女",
    "白洲",
    "杉生",
    "瀬良",
    "空知",
    "高瀬",
    "千歳",
    "月岡",
    "遠見",
    "那須野",
    "二階",
    "野々宮",
    "羽鳥",
    "氷室",
    "古賀野",
    "星川",
    "真壁",
    "水無",
    "結城",
]
GIVEN = [
    "葵",
    "一馬",
    "海斗",
    "佳乃",
    "恭介",
    "紅葉",
    "咲良",
    "静",
    "慎二",
    "涼子",
    "拓海",
    "千尋",
    "冬樹",
    "直人",
    "夏美",
    "春香",
    "光",
    "文江",
    "真理",
    "美咲",
    "結衣",
    "陽介",
    "梨花",
    "和奏",
]
REGIONS = ["北部", "南部", "東部", "西部", "中央部", "沿岸部", "山間部"]
TRADES = [
    "漁業",
    "林業",
    "米作り",
    "織物",
    "陶器づくり",
    "造船",
    "製紙",
    "酒造り",
    "果樹の栽培",
    "観光",
    "製塩",
    "養蚕",
]
FOODS = [
    "焼き団子",
    "栗おこわ",
    "川魚の甘露煮",
    "味噌うどん",
    "山菜の天ぷら",
    "梅干し",
    "豆腐の田楽",
    "柿の葉ずし",
    "芋煮",
    "干し貝の汁",
    "そば粥",
    "胡麻だれの冷麦",
    "黒糖の蒸し菓子",
    "鯖の味噌煮",
]
FIELDS = ["物理学", "植物学", "天文学", "歴史学", "建築学", "音楽", "絵画", "小説", "医学", "地理学", "言語学", "写真"]
COLOURS = ["白い", "淡い紅色の", "紫色の", "黄色い", "青みを帯びた", "橙色の"]
SEASONS = ["春", "初夏", "夏", "秋", "晩秋", "冬", "早春"]
MATERIALS = ["木", "石", "煉瓦", "鉄", "漆喰", "竹", "硝子"]
MACHINES = [
    "時計",
    "印刷機",
    "織機",
    "蒸気機関",
    "顕微鏡",
    "計算機",
    "写真機",
    "望遠鏡",
    "発電機",
    "揚水機",
    "自転車",
    "冷蔵庫",
]
GOODS = ["文房具", "農具", "電子部品", "菓子", "楽器", "眼鏡", "自転車の部品", "医療用の器具", "食器", "地図"]

ARTICLES: dict[str, list[str]] = {
    "town": [
        "{place}町は、{region_name}県の{region}にある町である。",
        "町の名は、{river}のほとりに立つ{tree}の大木に由来するといわれている。",
        "面積はおよそ{n}平方キロメートルで、その{share}割を森林が占めている。",
        "古くから{trade}が盛んで、{year}年には組合が作られた。",
        "{year}年に隣の{place2}村と合併し、現在の形になった。",
        "人口は{year2}年に最も多くなり、その後は少しずつ減っている。",
        "町の中央を{river}が流れ、{season}には岸に多くの人が集まる。",
        "名物は{food}で、駅の近くの店で食べることができる。",
        "{place}駅は{year2}年に開業し、一日におよそ{n}人が利用する。",
        "{season}に行われる祭りでは、{material}で作られた山車が町を巡る。",
        "かつては{place2}へ向かう街道の宿場として栄えた。",
        "町役場は{year2}年に建て替えられ、図書館が併設された。",
    ],
    "person": [
        "{person}は、{region_name}県出身の{field}の研究者である。",
        "{year}年、{place}町の農家に三人きょうだいの末の子として生まれた。",
        "幼いころから本を読むことを好み、とくに{field}に強い関心を持った。",
        "{year2}年に{place}大学を卒業し、同じ大学の助手になった。",
        "その後、{place2}に移り、{n}人の弟子を育てた。",
        "代表的な著書に『{place}の{season}』がある。",
        "{year2}年に発表した論文は、はじめはほとんど注目されなかった。",
        "しかし、のちに{field}の基礎を築いた仕事として高く評価された。",
        "晩年は故郷に戻り、{trade}を手伝いながら執筆を続けた。",
        "「学ぶことは歩くことに似ている」という言葉を残している。",
        "友人の{person2}とは、生涯にわたって手紙を交わした。",
        "死後、{place}町に記念館が建てられた。",
    ],
    "plant": [
        "{plant}は、山地の湿った場所に生える多年草である。",
        "高さは{small}センチメートルほどで、{season}に{colour}花を咲かせる。",
        "葉は細長く、ふちに小さな鋸の歯のような切れ込みがある。",
        "本州の{region}から四国にかけて分布している。",
        "若い芽は食用になり、{food}に添えられることもある。",
        "根には苦みがあり、昔は薬として使われた。",
        "和名は、花の形が{tree}の実に似ていることによる。",
        "近年は森林が減ったため、見られる場所が限られている。",
        "種子は風によって運ばれ、翌年の{season2}に芽を出す。",
        "よく似た種に{plant2}があるが、葉の裏の毛で見分けられる。",
    ],
    "company": [
        "{company}は、{region_name}県{place}市に本社を置く{goods}の製造会社である。",
        "{year}年に{person}が小さな工場として創業した。",
        "はじめは{goods}だけを作っていたが、のちに{machine}の製造にも進出した。",
        "{year2}年に株式会社となり、従業員は{n}人に増えた。",
        "主力の製品は軽くて丈夫なことで知られている。",
        "海外にも販売しており、売上の{share}割を輸出が占める。",
        "工場は{river}の近くにあり、水力で電気を起こしている。",
        "{year2}年の火災で建物の大半を失ったが、二年後に再建した。",
        "社員の提案から生まれた{goods}が大きな評判を呼んだ。",
        "地元の学校と協力し、毎年{season}に見学会を開いている。",
    ],
    "temple": [
        "{place}寺は、{region_name}県の{region}にある寺院である。",
        "{year}年に開かれたと伝えられるが、確かな記録は残っていない。",
        "本堂は{material}造りで、屋根は二重になっている。",
        "{year2}年の地震で塔が倒れ、その後は再建されていない。",
        "境内には樹齢{n}年といわれる{tree}の木がある。",
        "{season}には{colour}花が咲き、多くの参拝者が訪れる。",
        "寺に伝わる古文書には、当時の{trade}の様子が記されている。",
        "山門の彫刻は{person}の作とされる。",
        "裏山からは{place2}の町並みと{river}を見渡すことができる。",
        "毎月一日に開かれる市では、{food}が売られる。",
    ],
    "machine": [
        "{machine}は、人の手で行っていた仕事を速く正確に行うための機械である。",
        "最も古いものは{year}年ごろに作られたと考えられている。",
        "初期のものは{material}でできており、重さが{n}キログラムもあった。",
        "{year2}年に{person}が改良し、広く使われるようになった。",
        "仕組みは単純で、大きな歯車が小さな歯車を回すことで力を伝える。",
        "現在では部品の{share}割が{material}から別の材料に置き換えられた。",
        "使うときには、まず水平な場所に置き、ねじを締める必要がある。",
        "{company}が作ったものは、今も{place}町の資料館で動いている。",
        "故障の多くは、油が切れることによって起こる。",
        "この発明によって、{trade}の働き方は大きく変わった。",
    ],
    "river": [
        "{river}は、{region_name}県の{region}を流れる川である。",
        "{mountain}に源を発し、{place}町を通って海に注ぐ。",
        "長さは{n}キロメートルで、県内では{small}番目に長い。",
        "{season}には水量が増え、しばしば洪水を起こした。",
        "{year}年に大規模な堤防が築かれ、被害は少なくなった。",
        "上流では{trade}が、下流では{trade2}が営まれてきた。",
        "河口には干潟が広がり、渡り鳥が羽を休める。",
        "{place}橋は{year2}年に{material}で架けられ、市民に親しまれている。",
        "流域では古くから{food}が作られている。",
        "水が澄んでいることから、映画の撮影にも使われた。",
    ],
    "food": [
        "{food}は、{region_name}県の{region}に伝わる料理である。",
        "{season}に採れた材料を使い、祭りの日に作られる。",
        "作り方は家ごとに異なり、味噌を加えることもある。",
        "まず材料を{small}分ほど水にさらし、それから弱い火で煮る。",
        "{year}年の書物に、すでにその名が見える。",
        "もとは{trade}に携わる人々の弁当であった。",
        "{place}町では、学校の給食にも出されている。",
        "{year2}年ごろから都市の店でも売られるようになった。",
        "仕上げに{plant}の葉を散らすと、香りがよくなる。",
        "冷めてもおいしいため、旅の土産としても喜ばれる。",
    ],
}

ESSAYS = [
    "{season}の朝、{place}の駅で電車を待っていると、{colour}花が線路のわきに咲いているのに気づいた。",
    "祖父は{trade}で暮らしを立て、{n}歳を過ぎても毎日海や山へ出かけた。",
    "子どものころ、私は{machine}が怖くて近づくことができなかった。",
    "母が作る{food}は少し塩辛く、それがかえって懐かしい。",
    "雨の日には窓を開け、{river}の音を聞きながら本を読んだ。",
    "友人の{person}は、急ぐ人ほど道に迷うものだと言って笑った。",
    "{place}から{place2}までは歩いて{small}分ほどかかる。",
    "店の主人は、{material}の棚から古い{goods}を取り出して見せてくれた。",
    "それが何に使う道具なのか、誰も知らなかった。",
    "私たちは黙ったまま、しばらく{tree}の木の下に立っていた。",
    "手紙には短く、来年の{season}にまた会いましょうと書かれていた。",
    "{season2}になると町は静かになり、夜は星がよく見える。",
    "どうしてあの時、もう一度振り返らなかったのだろう。",
    "明日は早く起きて、{mountain}に登るつもりだ。",
    "「ここで待っているから、ゆっくり行っておいで」と祖母は言った。",
    "写真を見ると、{year2}年の夏の暑さがよみがえってくる。",
    "新しい靴を買ったので、少し遠くまで歩いてみることにした。",
    "犬は尾を振りながら、{river}の岸を走っていった。",
    "図書館で借りた本に、誰かの押し花がはさまっていた。",
    "汽車は{small}分遅れて着き、ホームには私のほかに誰もいなかった。",
]

HAND_WRITTEN = [
    "水は百度で沸騰し、零度で凍る。",
    "地球は太陽のまわりを一年かけて一周する。",
    "月は地球のまわりを回っている。",
    "植物は日光を受けて養分を作る。",
    "鳥の多くは空を飛ぶことができる。",
    "魚はえらで呼吸をする。",
    "音は空気の振動として耳に届く。",
    "光は音よりもはるかに速く進む。",
    "鉄は熱すると赤くなり、冷やすと硬くなる。",
    "氷は水より軽いので、水に浮かぶ。",
    "一年は十二か月に分けられている。",
    "一日は二十四時間である。",
    "三角形の内角の和は百八十度である。",
    "円周率はおよそ三・一四である。",
    "辞書は言葉の意味を調べるための本である。",
    "図書館では本を借りることができる。",
    "駅の改札を通って、電車に乗る。",
    "信号が青になったら道を渡る。",
    "朝ごはんにパンと卵を食べた。",
    "昼休みに友だちと校庭で遊んだ。",
    "夕方になると、空が赤く染まった。",
    "夜遅くまで起きていると、次の日が眠い。",
    "雨が降りそうなので、傘を持って出かけた。",
    "雪が積もって、道が滑りやすくなっている。",
    "風が強い日は、洗濯物が早く乾く。",
    "冬の星空は、夏よりも明るい星が多い。",
    "桜の花は、葉が出る前に咲く。",
    "稲は春に植えられ、秋に刈り取られる。",
    "海の水が塩辛いのは、塩が溶けているからである。",
    "川の水は高い所から低い所へ流れる。",
    "火山が噴火すると、灰が広い範囲に降る。",
    "地震のときは、机の下に入って身を守る。",
    "薬は決められた量を守って飲む。",
    "熱があるときは、水分をよくとって休む。",
    "手紙を書いて、切手を貼って出した。",
    "約束の時間に遅れないように、早めに家を出た。",
    "道に迷ったので、交番で聞いた。",
    "財布を落としたことに、家に着いてから気づいた。",
    "新しい言葉を覚えるには、声に出して読むとよい。",
    "外国語を学ぶと、自分の言葉のことも分かってくる。",
    "計算を間違えたので、はじめからやり直した。",
    "会議は予定より三十分長く続いた。",
    "部屋を片付けると、気持ちまで軽くなる。",
    "この橋は百年以上前に作られた。",
    "町の人口は、十年前のおよそ半分になった。",
    "工場では、一時間に千個の部品を作っている。",
    "電池が切れて、時計が止まってしまった。",
    "画面の明るさを下げると、電池が長くもつ。",
    "大切なファイルは、別の場所にも保存しておく。",
    "パスワードは、人に教えてはいけない。",
    "機械は便利だが、使い方を誤ると危ない。",
    "漢字は中国から伝わり、仮名は日本で作られた。",
    "平仮名は、漢字を崩した形から生まれた。",
    "俳句は五・七・五の十七音からなる。",
    "祭りの日には、太鼓の音が遠くまで響く。",
    "古い寺の庭に、苔が一面に生えている。",
    "山の頂上からは、海まで見渡すことができた。",
    "船が港を離れると、人々は手を振って見送った。",
    "子どもたちは、砂浜で貝殻を拾っていた。",
    "彼女は窓を開けて、深く息を吸った。",
    "彼は黙ってうなずき、部屋を出ていった。",
    "猫は日なたで、気持ちよさそうに眠っている。",
    "私は毎朝、駅まで十五分歩いている。",
]


class Names:
    """Invented names and facts; one instance per document, so that its sentences speak of the same things."""

    def __init__(self, random_state: random.Random):
        self.random = random_state

    def place(self) -> str:
        return self.random.choice(FIRST) + self.random.choice(SECOND)

    def person(self) -> str:
        return self.random.choice(FAMILY) + self.random.choice(GIVEN)

    def facts(self) -> dict[str, object]:
        """A value for every slot of the templates."""
        pick = self.random.choice
        return {
            "place": self.place(),
            "place2": self.place(),
            "region_name": self.place(),
            "region": pick(REGIONS),
            "person": self.person(),
            "person2": self.person(),
            "river": self.place() + "川",
            "mountain": self.place() + "山",
            "tree": pick(["杉", "松", "楠", "欅", "銀杏", "樫"]),
            "plant": pick(FIRST) + pick("葉花実根") + pick(["草", "蘭", "菊", "百合", "桔梗"]),
            "plant2": pick(FIRST) + pick("葉花実根") + pick(["草", "蘭", "菊", "百合", "桔梗"]),
            "company": self.place() + pick(["製作所", "工業", "商会", "精機", "産業"]),
            "trade": pick(TRADES),
            "trade2": pick(TRADES),
            "food": pick(FOODS),
            "field": pick(FIELDS),
            "colour": pick(COLOURS),
            "season": pick(SEASONS),
            "season2": pick(SEASONS),
            "material": pick(MATERIALS),
            "machine": pick(MACHINES),
            "goods": pick(GOODS),
            "n": self.random.randint(12, 980),
            "small": self.random.randint(2, 60),
            "share": self.random.randint(2, 9),
            "year": self.random.randint(1560, 1920),
            "year2": self.random.randint(1921, 2019),
        }


def encyclopedia(random_state: random.Random, articles: int) -> list[list[str]]:
    """Articles of 6 to 10 sentences, each on one invented thing; the first sentence says what it is."""
    documents = []
    for _ in range(articles):
        templates = ARTICLES[random_state.choice(sorted(ARTICLES))]
        facts = Names(random_state).facts()
        rest = random_state.sample(templates[1:], random_state.randint(5, len(templates) - 1))
        documents.append([template.format(**facts) for template in [templates[0], *rest]])
    return documents


def essays(random_state: random.Random, count: int) -> list[list[str]]:
    """Short pieces in the first person, with hand-written sentences among the generated ones."""
    documents = []
    for _ in range(count):
        facts = Names(random_state).facts()
        chosen = random_state.sample(ESSAYS, random_state.randint(4, 8))
        lines = [template.format(**facts) for template in chosen]
        for sentence in random_state.sample(HAND_WRITTEN, 2):
            lines.insert(random_state.randrange(len(lines) + 1), sentence)
        documents.append(lines)
    return documents
