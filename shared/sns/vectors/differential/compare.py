"""Compares the vectors with validators of other languages, and names every difference.

    work=$(mktemp -d) && python3 -m venv "$work/venv" && "$work/venv/bin/pip" install aws-sns-message-validator==0.0.5
    npm install --prefix "$work" sns-validator@0.3.5
    NODE_PATH="$work/node_modules" "$work/venv/bin/python" shared/sns/vectors/differential/compare.py && rm -r "$work"

A difference that is not in `known.json` is an error, and so is one in it that is none any more. `--write` writes it.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
VALIDATORS = {
    "sns-validator": ["node", "validate.js"],
    "aws-sns-message-validator": [sys.executable, "validate.py"],
}


def main():
    cases = json.loads((HERE.parent / "messages.json").read_text())["cases"]
    differences = {}
    for name, command in VALIDATORS.items():
        answer = subprocess.run(
            command, cwd=HERE, check=True, capture_output=True, timeout=120, text=True
        ).stdout
        verdicts = json.loads(answer)
        differences[name] = {
            case[
                "name"
            ]: f"{case['verdict']} ({case['reason']}) here, there {verdicts[case['name']]}"
            for case in cases
            if (case["verdict"] == "accept") != (verdicts[case["name"]] == "accept")
        }
        print(f"{name}: {len(cases)} cases, {len(differences[name])} differences")
    file = HERE / "known.json"
    if "--write" in sys.argv:
        file.write_text(json.dumps(differences, indent=2, ensure_ascii=False) + "\n")
    known = json.loads(file.read_text())
    for name, found in differences.items():
        for case in sorted(found.keys() ^ known[name].keys()):
            print(f"{name}: {case}: {found.get(case, 'no difference any more')}")
    return differences != known


if __name__ == "__main__":
    sys.exit(main())
