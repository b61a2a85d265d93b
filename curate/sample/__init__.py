"""The sample world and the sample CLIP: everything the workspace needs to run offline, with known truth.

`world.render_world` writes raw videos together with what is true about them, `frames` draws single described
frames from the same code, and `clip.load_sample_clip` opens the small CLIP trained on them. The CLIP knows only
this world; the trade-off is that every stage can be scored exactly, in minutes, without a download.
"""
