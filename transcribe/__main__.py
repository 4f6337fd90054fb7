from transcribe.main import main

main()
