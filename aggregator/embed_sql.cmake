# Write OUTPUT, a C header that holds the file INPUT as the string SCHEMA_SQL.
file(READ "${INPUT}" text)
string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
file(WRITE "${OUTPUT}" "/* Made from schema.sql. */\nstatic const char SCHEMA_SQL[] =\n    \"${text}\";\n")
