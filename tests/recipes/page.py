# SPDX-License-Identifier: PostgreSQL
"""The pages of tools/recipes, as something that can be followed.

    page = Page("php-fpm", {"8.2": "8.4"})
    page.follow(machine, "Set up")       # writes the files and runs the commands of that section
    page.follow(machine, "See that it works")   # returns what the commands print

A block is a file if its first line is a comment `new file PATH` or `add to PATH`; a block of
language sh that is none is commands for root; others are for the reader alone.
"""
import os
import re

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/recipes")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"(?:#|;|//) (new file|add to) (/\S+)\n")


class Page:
    def __init__(self, name, exchanged=None):
        with open(os.path.join(FOLDER, name + ".md"), encoding="utf-8") as file:
            text = file.read()
        for old, new in (exchanged or {}).items():
            text = text.replace(old, new)
        # title -> its text; what stands before the first one is in "".
        parts = re.split(r"^## (.*)\n", "## \n" + text, flags=re.M)
        self.sections = dict(zip(parts[1::2], parts[2::2]))

    def blocks(self, section):
        """(file or None, is it added to, text) of those that are followed."""
        for language, text in BLOCK.findall(self.sections[section]):
            head = FILE.match(text)
            if head or language == "sh":
                yield head and head[2], bool(head) and head[1] == "add to", text

    def follow(self, machine, section):
        """Does what is said there; what the commands print."""
        said = ""
        for path, add, text in self.blocks(section):
            if path:
                machine.write(path, text, add)
            else:
                said += machine.run(text)
        return said
