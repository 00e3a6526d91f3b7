# The messages as they are described: common/MESSAGES.md.
unit_test(message_examples common base PkgConfig::JANSSON)
