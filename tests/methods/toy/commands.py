"""Runs modules as `python -m` does, each in a forked process: importing torch once is enough.

Reads a line of JSON for each: module, arguments, file for the output, environment. Answers with
the number of the process, then with its exit code.
"""

import json
import os
import runpy
import sys
import traceback

import congeal.evaluation
import congeal.prediction
import congeal.training  # noqa: F401


def run(module, words, environment):
    """What the forked process does; gives the exit code."""
    os.environ.update(environment)
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def serve():
    """Run what comes in, one after the other."""
    for line in sys.stdin:
        module, words, output, environment = json.loads(line)
        child = os.fork()
        if not child:
            target = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            os.dup2(target, 1)
            os.dup2(target, 2)
            code = run(module, words, environment)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
