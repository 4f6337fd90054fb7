from launch.main import main

main()
