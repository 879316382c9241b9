"""`python -m wtal_fast` is `wtal-fast`."""

from wtal_fast.cli.main import main

if __name__ == "__main__":
    main()
