"""One question to several ICSs: what is asked, who may ask it, what a node answers, and how answers are put together.

Nothing here opens a store or decides what may be shown of a count; `linkage.answering` joins it with what does.
"""
