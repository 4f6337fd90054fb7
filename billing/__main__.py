from billing.main import main

main()
