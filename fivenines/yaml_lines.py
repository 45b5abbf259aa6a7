"""Where a key is in a YAML file, so that an error can name its line (pure)."""

import yaml


def line_of(tree: yaml.Node | None, location: tuple[str | int, ...]) -> int:
    """The 1-based line of the key at ``location``, or of its nearest parent that is in the file."""
    line, node = (tree.start_mark.line if tree else 0), tree
    for part in location:
        found = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, found = key.start_mark.line, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line
        if found is None:
            break
        node = found
    return line + 1


def line_of_error(error: yaml.YAMLError) -> int:
    """The 1-based line where the parser gave up; 1 when it does not say."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark else 1
