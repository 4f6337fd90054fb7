from pbx.main import main

main()
