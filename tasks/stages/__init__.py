"""The frame that every stage of the pipeline is run in.

    with open_session("distillation-pipeline", workspace=None) as session:
        shards = shard_stage(session, source="s3://photos")
        bases = eigenbases_stage(session, shards=shards.place, teacher="vgg19")
        ...

A stage, a Prefect task in `tasks/<concept>/stage.py`, finds its finished output by its inputs, or makes it. Output lies
in `<workspace>/<stage>/<key>/`; a `manifest.json` there means that the stage is finished.
"""
