"""Whether files decode alike wherever they are decoded: `python -m lic.portability --help`.

    __main__ ──► crew ──► one process a configuration: worker (encode, decode), probing (deviation, rate)
        │          └────► configurations
        └──► figures ──► report

Processes talk through JSON and numpy files in a temporary folder. `res/doc/portability.md` says what comes of it.
"""
