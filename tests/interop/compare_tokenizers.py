"""Compares the ids of moe-data with those of other libraries on large texts. scripts/compare_tokenizers starts it."""
import argparse
import array
import html
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import time


import write_tokenizers as small


def texts(work, most):
    """Texts by name: Debian's translated manuals without their tags, this repository's sources, all characters."""
    found = {}
    for package in sorted((work / "packages").glob("libreoffice-help-*")):
        if not package.is_dir():
            continue
        parts, size = [], 0
        for file in sorted(package.glob("**/*.html")):
            part = html.unescape(re.sub(r"<script.*?</script>|<[^>]+>", "", file.read_text("utf-8"), flags=re.S))
            parts.append(re.sub(r"\n\s*\n+", "\n\n", part))
            size += len(parts[-1].encode())
            if size > most:
                break
        found[package.name.removeprefix("libreoffice-help-")] = "".join(parts)
    sources = pathlib.Path(__file__).resolve().parents[2]
    code = [file.read_text("utf-8") for folder in ("core", "data", "tests", "cuda") for file in
            sorted((sources / folder).glob("**/*.cpp"))]
    found["code"] = "".join(code)
    found["characters"] = every_character(work)
    return {name: text + "\n" + "the end " * 9 for name, text in found.items()}  # of which the last are other splits


def every_character(work):
    """Every assigned character and every emoji, each several times between odd neighbours."""
    draw = random.Random(3)
    folder = work / "packages/unicode-data/usr/share/unicode"
    characters = []
    for line in (folder / "UnicodeData.txt").read_text("utf-8").splitlines():
        fields = line.split(";")
        if fields[2] != "Cs":
            characters.append(chr(int(fields[0], 16)))
    characters += [chr(c) for c in range(0x4E00, 0x9FFF, 7)] + [chr(c) for c in range(0xAC00, 0xD7A3, 11)]
    for line in (folder / "emoji/emoji-test.txt").read_text("utf-8").splitlines():
        if ";" in line and not line.startswith("#"):
            characters.append("".join(chr(int(c, 16)) for c in line.split(";")[0].split()))
    marks = ["<|endoftext|>", "<think>", "world ", "hello world\n", "<0x41>", "</s>", "[UNK]", "    ", "ſ'S I'LL 've"]
    glue = ["", "", " ", "  ", "\n", "a", "1", "'s", "\t", ".", "!", "\r\n", "\u00a0", "e", "▁", "_", "A", "\u0301",
            "\n\n", "  \n ", "\u3000", "don't "]
    parts = [c + draw.choice(glue) for c in characters * 4] + [m + draw.choice(glue) for m in marks * 1000]
    draw.shuffle(parts)
    return "".join(parts)


def ours(options, tokenizer, file, **environment):
    """The ids of the training split, its bytes, and the seconds."""
    out = options.work / "corpus"
    shutil.rmtree(out, ignore_errors=True)
    size = file.stat().st_size
    begin = time.time()
    done = subprocess.run([options.moe_data, "prepare", "-i", file, "-o", out, "--tokenizer", tokenizer, "--split",
                           f"{size - 20}/10/10"], capture_output=True, text=True, env={**os.environ, **environment})
    seconds = time.time() - begin
    if done.returncode:
        return done.stderr.strip()[-300:], 0, seconds
    split = next(s for s in json.loads((out / "corpus.json").read_text())["splits"] if s["name"] == "train")
    content = (out / "train.bin").read_bytes()
    count = int.from_bytes(content[8:12], "little")
    ids = array.array("H" if len(content) - 1024 == 2 * count else "I")
    ids.frombytes(content[1024:])
    return ids, split["raw_bytes"], seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--moe-data", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--megabytes", type=float, default=10, help="at most of each language")
    parser.add_argument("--pieces", type=int, default=8000, help="size of the vocabularies")
    parser.add_argument("--only", default="", help="names of tokenizers")
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    all_texts = texts(options.work, options.megabytes * 1e6)
    learned = "\n".join(text[:200_000] for name, text in all_texts.items() if name != "characters")
    small.TEXTS[:2] = learned.splitlines(keepends=True)
    small.SAMPLES = len(small.TEXTS)
    small.PIECES = options.pieces
    differ = total = 0
    for name, tokenizer in small.tokenizers():
        if options.only and name not in options.only.split(","):
            continue
        tokenizer.encode_special_tokens = True
        path = options.work / f"{name}.json"
        tokenizer.save(str(path))
        for language, text in all_texts.items():
            file = options.work / f"{language}.txt"
            file.write_bytes(text.encode())
            ids, size, seconds = ours(options, path, file)
            if isinstance(ids, str):
                print(f"{name}, {language}: {ids}", flush=True)
                differ += 1
                continue
            part = text.encode()[:size].decode("utf-8", "ignore")
            theirs = tokenizer.encode(part, add_special_tokens=False).ids
            speed = ""
            if language == "en-us":
                one = ours(options, path, file, OMP_NUM_THREADS="1")[2]
                begin = time.time()
                tokenizer.encode_batch(part.splitlines(keepends=True), add_special_tokens=False)
                speed = (f"; {size / seconds / 1e6:.1f} MB/s, {size / one / 1e6:.1f} by one thread, encode_batch of lines "
                         f"{size / (time.time() - begin) / 1e6:.1f} by one thread")
            where = next((i for i, (a, b) in enumerate(zip(ids, theirs)) if a != b), min(len(ids), len(theirs)))
            equal = len(ids) == len(theirs) == where
            differ += not equal
            total += size
            print(f"{name}, {language}: {size} bytes, {len(theirs)} ids, " + (
                f"equal{speed}" if equal else
                f"DIFFERENT from id {where}: ours {[tokenizer.id_to_token(i) for i in ids[where - 3:where + 6]]}, theirs "
                f"{[tokenizer.id_to_token(i) for i in theirs[where - 3:where + 6]]}"), flush=True)
    print(f"{total} bytes compared, {differ} comparisons differ")
    raise SystemExit(differ > 0)


if __name__ == "__main__":
    main()
