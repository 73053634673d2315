"""The shapes of the API's JSON, in and out. The UI's types are generated from them, so their names are its words.

Times are RFC 3339 text but where a field says ms. A number that JSON cannot write (NaN, ±Inf) is null.
"""
