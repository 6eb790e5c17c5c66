"""The only way back: a cohort is asked for, approved by others, and released by the key holder to each patient's practice.

    request ─▶ decisions ─▶ judged ─▶ packages
    signed     signed       as of     one for each practice,
    by whom    by others    now       all of them or none
    asks

`linkage.cohorts` joins these with the store, the registers and the log.
"""
