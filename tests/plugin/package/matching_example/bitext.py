"""`news.en-de.bitext`: a line a pair, `source ||| target`, as fast_align reads it."""

from xalign.base.languages import canonical
from xalign.data.readers.base import FileReader
from xalign.data.readers.files import lines_of
from xalign.data.rows import Row


class BitextReader(FileReader):
    """Pairs in one file, whose name says the languages."""

    endings = ("bitext",)

    @classmethod
    def languages(cls, path):
        return [canonical(code) for code in path.name.split(".")[-2].split("-")]

    @classmethod
    def fits(cls, path, source):
        return source.pivot in cls.languages(path)

    def read(self, path):
        languages = self.languages(path)
        for line in lines_of(path):
            yield Row(path.name, dict(zip(languages, line.split(" ||| "), strict=True)))
