from portal_api.main import main

main()
