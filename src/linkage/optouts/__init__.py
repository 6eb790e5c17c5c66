"""Rows of people who said no are taken out here. One of the four folders that may see an NHS number.

Everything binds by default. A list is named for what it holds: the national service returns those who may be used.
"""
