"""The commands, a file each, imported when they are called.

The file's name is the command's; `command` in it is the `click.Command`.
"""
