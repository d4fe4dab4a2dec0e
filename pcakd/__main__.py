from pcakd.cli.main import main

main()
