"""Script: unpack one member of a RAR archive to stdout with `rars`, the password (or "") coming on stdin."""

import shutil
import sys

import rars


def main(archive: str, index: str, size_bytes: str) -> None:
    """Write the member of that index, which may not have more bytes than its header says."""
    password = sys.stdin.buffer.readline().rstrip(b"\n").decode() or None
    options = rars.ReadOptions(max_member_output_bytes=int(size_bytes))
    with rars.RarFile(archive, password=password) as opened:
        member = opened.infolist()[int(index)]
        with opened.open(member, pwd=password, options=options) as content:
            shutil.copyfileobj(content, sys.stdout.buffer)


if __name__ == "__main__":
    main(*sys.argv[1:])
