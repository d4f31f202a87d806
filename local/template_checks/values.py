"""Values of a parameter that its template admits, to try on the code that reads it."""

import random
import re
import re._constants as sre
import re._parser
from collections.abc import Iterator
from typing import Any

from .template import refuse

ARN = "arn:aws:{service}:us-east-1:111122223333:"

# Values at the edges of what AWS takes, of every kind. For each parameter, those that its template admits count.
TRICKY = [
    # numbers
    "0", "00", "1", "5000", "3650", "3651", "9999", "99999999", "-1", "1.5", "007",
    # names of parameters of Systems Manager, some reserved, some with empty levels
    "/golden", "/golden//latest", "/golden/", "/", "/aws/golden", "/AWSgolden", "/ssm/golden", "/SSM", "/golden/{name}",
    "/{name}", "/{name}/aws", "//golden", "/a" * 15, "/a" * 16, "/" + "a" * 600, "/aws", "/ssmgolden", "/a/../b",
    # lists
    "a,b", ",", "a,,b", "a,", ",a", "a,a", "A,a", "A,A", "a" * 101, "-", "--", "_", "-global", "global,-global",
    "S3@eu-west-1,S3", "S3@S3", "S3@eu-west-1@eu-west-1", "EC2,EC2", "-EC2", "E", "E" * 31, "MULTIPLE_SERVICES",
    "-MULTIPLE_SERVICES", "us-east-1,-us-east-1", "-us-east-1", "us-east-1,us-east-1", "us-east-1,us-west-2", "1-1",
    "us", "us-east", "us-east-1a", "GLOBAL", "open,open", "issue,issue", "closed",
    # ports
    "0-0", "65535", "65536", "80-79", "80-80", "80,80", "1-65535", "99999", "00080",
    # ARNs: a Region where there is none, none where there is one, other partitions, long names
    "arn:aws:organizations:us-east-1:111122223333:organization/o-abcdefghij",
    "arn:aws:organizations::111122223333:organization/o-abcdefghij",
    "arn:x:organizations::111122223333:organization/o-abcdefghij",
    "arn:aws:organizations:us-east-1:111122223333:ou/o-abcdefghij/ou-ab12-cdefghij",
    "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-cdefghij",
    f"{ARN.format(service='sns')}topic", f"{ARN.format(service='sns')}topic.fifo", "arn:aws:sns:us:111122223333:topic",
    f"{ARN.format(service='sns')}{'t' * 256}", f"{ARN.format(service='sns')}{'t' * 257}",
    f"{ARN.format(service='sns')}a.b", "arn:aws:sns::111122223333:topic",
    "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/a", "arn:aws:iam::111122223333:role/a/b",
    "arn:aws:iam::111122223333:role/*", "arn:aws:iam::111122223333:role//", "arn:aws-cn:iam::111122223333:role/a",
    f"arn:aws:iam::111122223333:role/{'r' * 65}", f"arn:aws:iam::111122223333:role/{'p/' * 256}r",
    "arn:aws:health:us-east-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/1", "arn:aws:health:",
    # addresses
    "https://example.com/a.json", "https://", "https:///", "https://example.com:99999/", "https://[::1]/",
    "https://example.com/%zz", "https://:443/", "https://..", "https://127.0.0.1/",
    # names and texts
    "sg-mine", "a.b", "...", "x" * 64, "   ", "a b", " a", "a  ", "'", "approved by ops", "o-abcdefghij", "TagRole",
    "ssm:/a//b", "ssm:/a", "ssm:/aws/a", "ssm:/" + "a/" * 20 + "a", "vpc-0123456789abcdef0", "vpc-1a2b3c4d",
    "us-east-1/vpc-1a2b3c4d", "x/vpc-1a2b3c4d",
    # tags: keys that are not yours to set, one key twice, no key
    "Name=edge", "team=edge, Name =x", "name=edge", "Names=edge", "gatehouse:team=edge", "team=edge,gatehouse:team=x",
    "aws:x=1", "AWS:x=1", "aws=1", "team=edge,team=core", " =x", "team=edge, =x", "team=",
    ",".join(f"k{number}=" for number in range(40)), ",".join(f"k{number}=" for number in range(41)),
]  # fmt: skip


def admitted(spec: dict[str, Any], number: int = 25) -> list[str]:
    """Values that the template takes: all that it lists, the ends of a range, or tricky and generated ones."""
    if "AllowedValues" in spec:
        return [str(value) for value in spec["AllowedValues"]]
    found = [str(spec[key]) for key in ("MinValue", "MaxValue", "Default") if str(spec.get(key, "")) != ""]
    if spec["Type"] != "Number":
        found += [*TRICKY, *generated(spec["AllowedPattern"], number)]
    return [value for value in dict.fromkeys(found) if value and _taken(spec, value)]


def _taken(spec: dict[str, Any], value: str) -> bool:
    try:
        refuse(spec, "it", value)
    except ValueError:
        return False
    return True


def generated(pattern: str, number: int) -> Iterator[str]:
    """Texts that a pattern describes: the same ones in each run. What looks ahead is not followed."""
    chance = random.Random(pattern)
    parsed = re._parser.parse(pattern)
    for _ in range(number):
        yield "".join(_texts(parsed, chance))


def _texts(items: Any, chance: random.Random) -> Iterator[str]:
    for kind, argument in items:
        match kind:
            case sre.LITERAL:
                yield chr(argument)
            case sre.IN:
                yield chance.choice(_of_class(argument))
            case sre.ANY | sre.NOT_LITERAL:
                yield chance.choice("aZ9 -./")
            case sre.BRANCH:
                yield from _texts(chance.choice(argument[1]), chance)
            case sre.SUBPATTERN:
                yield from _texts(argument[3], chance)
            case sre.MAX_REPEAT | sre.MIN_REPEAT:
                least, most, item = argument
                longest = least + 3 if most is sre.MAXREPEAT else most
                for _ in range(chance.choice([least, min(least + 1, longest), chance.randint(least, longest)])):
                    yield from _texts(item, chance)
            case sre.AT | sre.ASSERT | sre.ASSERT_NOT:
                pass
            case _:
                raise NotImplementedError(f"{kind} in a pattern")


def _of_class(items: Any) -> list[str]:
    ascii_ = [chr(code) for code in range(33, 127)]
    chosen: set[str] = set()
    negated = False
    for kind, argument in items:
        match kind:
            case sre.NEGATE:
                negated = True
            case sre.LITERAL:
                chosen.add(chr(argument))
            case sre.RANGE:
                chosen |= {chr(code) for code in range(argument[0], argument[1] + 1)}
            case sre.CATEGORY:
                category = {sre.CATEGORY_SPACE: r"\s", sre.CATEGORY_NOT_SPACE: r"\S", sre.CATEGORY_DIGIT: r"\d"}
                chosen |= {it for it in [*ascii_, " "] if re.match(category[argument], it)}
            case _:
                raise NotImplementedError(f"{kind} in a class of characters")
    # Blanks only where nothing else fits: they are cut at the ends of a setting.
    return [it for it in ascii_ if (it in chosen) != negated] or [" "]
