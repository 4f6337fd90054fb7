"""The store: models, named queries, media files and jobs. A library; every service meets the others here.

Services hold no session across a wait for anything but the database.
"""
