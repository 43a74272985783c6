"""Runs MiniStack in this process, with two things mended.

Its HTTP servers answer in two writes on sockets without TCP_NODELAY, so Nagle's algorithm and delayed acknowledgements
add 40 ms to every call of a function's runtime. And it does not know which partitions a request to DynamoDB names.
"""

import socketserver

import leading_keys

socketserver.StreamRequestHandler.disable_nagle_algorithm = True

if __name__ == "__main__":
    import ministack.app

    leading_keys.teach()
    ministack.app.main()
