"""Holding what clients answer against what was configured."""


def same(client, value, seen):
    """JavaScript has one type of numbers; elsewhere 1.0 is not 1."""
    if client.startswith("npm") and {type(value), type(seen)} == {int, float}:
        return value == seen
    return value == seen and type(value) is type(seen)


def held(client, cases, results, wanted):
    """Holds the answers against what `wanted` makes of each case; answers how many checks held, and those that did not."""
    count, wrong = 0, []
    for case in cases:
        result, want = results.get(case["id"]), wanted(case)
        if result is None:
            wrong.append(f"{client}: {case['flag']!r} was not answered")
            continue
        refused = bool(result.get("refused"))
        if refused != want.pop("refused", False):
            wrong.append(f"{client}: {case} was refused: {result.get('refused')}")
        for field, value in want.items():
            seen = result.get(field)
            if same(client, value, seen):
                count += 1
            else:
                wrong.append(f"{client}: {case} has {field} {seen!r} and not {value!r}: {result}")
    return count, wrong
