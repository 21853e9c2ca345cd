"""Corpora: generated, shards, folders, tables, downloads, unions."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from helip.config.base import ConfigModel, Name, Seed, Share, WorldKind


class GeneratedCorpus(ConfigModel):
    """This corpus is a world of captioned scenes drawn from a seed. Its truth is kept beside it for measuring, never for training."""

    kind: Literal["generated"] = "generated"
    label: str = ""  # what tables add to the corpus' name
    size: int = Field(gt=0)  # pairs
    image_size: int = Field(32, ge=16)  # pixels a side
    mismatched: Share = 0.12  # share of pairs whose caption belongs to another scene
    near: Share = 0.0  # of these, those whose caption is of a scene one or two attributes apart; the others' are of any other scene
    world: WorldKind = "first"  # words, drawings and habits; shared by all corpora and evaluation sets of a study
    world_seed: Seed = 0  # from which the concepts are drawn; shared as well
    concepts: int = Field(2500, ge=300)  # that the world has; shared as well
    seed: Seed = 0  # the scenes drawn from them
    samples_per_shard: int = Field(2000, gt=0)  # pairs in a .tar file


PATH = "a file, a folder, or several: globs, brace lists x-{0000..0009}.tar and a::b; $VARIABLES are expanded"
PUBLISHED = "pairs in the published corpus, to state the recovered share"
QUARANTINED = "share of samples without a readable image or caption, and of cut shards, above which the corpus fails"
PACKED = "pairs packed into a .tar file"


def _separator(given: Any) -> Any:
    """A tab is hard to type in a shell."""
    given = "\t" if given in ("\\t", "tab") else given
    if isinstance(given, str) and (len(given) != 1 or given in '"\r\n'):
        raise ValueError(f"{given!r} is no separator: it is one character, or tab, and no quote")
    return given


class ShardCorpus(ConfigModel):
    """This corpus is a set of WebDataset shards as img2dataset writes them: `key.jpg|png|webp`, `key.txt`, optionally `key.json`."""

    kind: Literal["webdataset"] = "webdataset"
    label: str = ""  # what tables add to the corpus' name
    path: str = Field(description=f".tar files or a folder of them: {PATH}")
    captions: str = Field(
        "txt",
        pattern=r"^(txt|lines|json\..+)$",
        description="where they are: txt, all of key.txt is one; lines, each line of key.txt is one; json.NAME, in key.json, one or a list",
    )
    obtain: str = ""  # where to get them, for whoever has not
    published_size: int | None = Field(None, gt=0, description=PUBLISHED)
    max_quarantined: Share = Field(0.05, description=QUARANTINED)


class FolderCorpus(ConfigModel):
    """This corpus is a folder of images, each with its captions beside it: `a.jpg` and `a.txt` (or `a.json`), in sub-folders too."""

    kind: Literal["folder"] = "folder"
    label: str = ""  # what tables add to the corpus' name
    path: str = Field(description="the folder; $VARIABLES are expanded")
    captions: str = Field(
        "lines",
        pattern=r"^(txt|lines|json\..+)$",
        description="where they are: lines, each line of a.txt is one; txt, all of a.txt is one; json.NAME, in a.json, one or a list",
    )
    published_size: int | None = Field(None, gt=0, description=PUBLISHED)
    max_quarantined: Share = Field(0.05, description=QUARANTINED)
    samples_per_shard: int = Field(10000, gt=0, description=PACKED)


class TableCorpus(ConfigModel):
    """This corpus is a table of images and captions: CSV with any separator, JSON, JSON lines or parquet, packed into shards of our own.

    Images are paths, or bytes as the Hub's parquet files hold them. Rows of one image are one pair with several captions.
    """

    kind: Literal["table"] = "table"
    label: str = ""  # what tables add to the corpus' name
    path: str = Field(description="a .csv, .tsv, .txt, .json or .jsonl file, or .parquet files (a folder too); $VARIABLES are expanded")
    image_column: str | None = Field(None, description="column of the images; by default the first of the usual names that is there")
    caption_column: str | None = Field(None, description="column of the captions; by default the first of the usual names that is there")
    image_root: str | None = Field(
        None, description="folder that relative image paths start from; by default the table's, else the working directory"
    )
    separator: Annotated[str | None, BeforeValidator(_separator)] = Field(
        None, description="of a text table; by default the one its first line shows"
    )
    encoding: str = Field("utf-8", description="of a text table, for example latin-1")
    quoted: bool = Field(True, description="a cell of a text table may stand in double quotes")
    published_size: int | None = Field(None, gt=0, description=PUBLISHED)
    max_quarantined: Share = Field(0.05, description=QUARANTINED)
    samples_per_shard: int = Field(10000, gt=0, description=PACKED)


class DownloadedCorpus(ConfigModel):
    """This corpus is a table of image URLs and captions, which img2dataset crawls into WebDataset shards, or a `mirror` of ready-made
    shards.
    """

    kind: Literal["downloaded"] = "downloaded"
    label: str = ""  # what tables add to the corpus' name
    table: str  # .csv, .tsv or .parquet (a folder of parquet files too): a path with $VARIABLES, or an http(s) address
    obtain: str = ""  # where to get the table, for whoever has not
    header: tuple[str, ...] | None = None  # the columns of a table that does not name them in its first line
    url_column: str = "url"  # of the addresses
    caption_column: str = "caption"  # of the captions
    hash_column: str | None = None  # of the image's bytes as published: an image of another hash is refused and counted
    hash: Literal["md5", "sha256", "sha512"] | None = None  # algorithm of hash_column
    sample: int | None = Field(None, gt=0)  # rows drawn from the table, uniformly without replacement
    sample_seed: Seed = 0  # random seed of that draw
    mirror: str | None = None  # address of ready-made shards with one {0000..0575}: then the table is not read
    image_size: int = Field(256, gt=0)  # pixels of the shorter side; smaller images stay as they are
    samples_per_shard: int = Field(10000, gt=0)  # pairs in a .tar file
    timeout: int = Field(10, gt=0)  # seconds a server may be silent
    retries: int = Field(1, ge=0)  # further attempts at an address
    processes: int = Field(16, gt=0)  # 64 connections each
    published_size: int | None = Field(None, gt=0)  # pairs in the published corpus, to state the recovered share
    min_recovered: Share = 0.0  # share of the table's rows below which the corpus fails
    max_quarantined: Share = 0.05  # share of samples without a readable image or caption above which the corpus fails

    @model_validator(mode="after")
    def _hash_is_named(self) -> Self:
        if (self.hash is None) != (self.hash_column is None):
            raise ValueError("hash names the algorithm of hash_column: give both or neither")
        return self

    @model_validator(mode="after")
    def _mirror_is_taken_as_it_is(self) -> Self:
        idle = [name for name in ("sample", "hash_column", "hash", "min_recovered") if getattr(self, name)]
        if self.mirror and idle:
            have, them = ("have", "them") if len(idle) > 1 else ("has", "it")
            why = f"{have} no effect beside mirror, whose shards are taken as they are"
            raise ValueError(f"{', '.join(idle)} {why}: leave {them} out, or leave out mirror")
        return self

    @property
    def source(self) -> dict[str, Any]:
        """Returns the fields that decide which bytes are fetched: a changed limit or label fetches nothing again."""
        return self.model_dump(
            exclude={"label", "obtain", "timeout", "retries", "processes", "min_recovered", "max_quarantined", "published_size"}
        )


class UnionCorpus(ConfigModel):
    """This corpus is other corpora of the study one behind the other; nothing is copied."""

    kind: Literal["union"] = "union"
    label: str = ""  # what tables add to the corpus' name
    of: tuple[Name, ...] = Field(min_length=2)  # corpora of the study, in this order
    published_size: int | None = Field(None, gt=0)  # pairs in the published corpus, to state the recovered share


class TrainPartCorpus(ConfigModel):
    """This corpus is what is trained on of another one: all pairs but those held out for validation and test. No image is copied.

    Pairs of one image, and pairs of one caption, are held out together or not at all.
    """

    kind: Literal["train_part"] = "train_part"
    label: str = ""  # what tables add to the corpus' name
    of: Name = Field(description="a corpus of the study that is no union and no part")
    held_out: float = Field(0.1, gt=0, lt=1, description="share of the images held out for validation, and as many again for test")
    most: int = Field(1000, gt=0, description="images held out for validation at most, and for test")
    seed: Seed = Field(0, description="random seed of what is held out")


class MismatchedCorpus(ConfigModel):
    """This corpus is another one of the study in which a share of the images have swapped captions. Which ones is kept beside it, for
    measuring and for the bound of true removal.
    """

    kind: Literal["mismatched"] = "mismatched"
    label: str = ""  # what tables add to the corpus' name
    of: Name  # a corpus of the study that holds samples of its own
    share: Share  # of the pairs that get the captions of another
    near: Share = 0.0  # of these, those swapped with one of the `nearest` in words; the others' captions are permuted among each other
    nearest: int = Field(20, gt=0)  # by cosine of TF-IDF over the words of all captions of an image
    seed: Seed = 0  # random seed of the draw


class SubsetCorpus(ConfigModel):
    """This corpus is a share of the pairs of another one of the study, drawn uniformly. No image is copied, and its features are rows of
    the other's: an encoder that subtracts the corpus mean subtracts that of the whole.
    """

    kind: Literal["subset"] = "subset"
    label: str = ""  # what tables add to the corpus' name
    of: Name  # a corpus of the study that holds samples of its own
    share: float = Field(gt=0, le=1)  # of the pairs that are kept; of one seed, a larger share holds the smaller
    seed: Seed = 0  # random seed of the draw


Corpus = Annotated[
    GeneratedCorpus
    | ShardCorpus
    | FolderCorpus
    | TableCorpus
    | DownloadedCorpus
    | UnionCorpus
    | MismatchedCorpus
    | SubsetCorpus
    | TrainPartCorpus,
    Field(discriminator="kind"),
]
