"""A shadow run: two students on the same photos and styles of production, side by side, before one follows the other.

job = ShadowJob(challenger="models:/pcakd-vgg@challenger", source="s3://photos", styles=("evening.jpg",))
photos = choose(open_storage(job.source), job)              # always the same ones of a listing
found = Comparison()
for key in photos: found.add(compare(...))
page(found, ...)                                            # one HTML file, the largest differences first
"""
