"""Rewrite robustness: does the verdict on a pair survive a rewording of its replies?"""
