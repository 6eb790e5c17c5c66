"""A cohort on its way back to care: the steps, each joined from the store, the registers, the log and `linkage.reidentify`.

    allowed ─▶ ask ─▶ decide ─▶ release
               people           registers, settling

Only `release` turns tokens back, and nothing imports it but the key holder's command.
"""
