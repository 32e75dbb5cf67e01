# Writes schema_steps.c (-DOUT=) from the SQL files (-DSTEPS=a|b): bytes, so that no quoting can go
# wrong and no compiler limits their length.
string(REPLACE "|" ";" STEPS "${STEPS}")
set(arrays "")
set(rows "")
foreach(file ${STEPS})
  get_filename_component(stem ${file} NAME_WE)
  string(REGEX MATCH "^0*([1-9][0-9]*)_(.+)$" matched ${stem})
  if(NOT matched)
    message(FATAL_ERROR "${file} is not named NNNN_name.sql")
  endif()
  set(number ${CMAKE_MATCH_1})
  set(name ${CMAKE_MATCH_2})
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "static const unsigned char step_${number}[] = {\n${bytes}0};\n")
  string(APPEND rows "    {${number}, \"${name}\", (const char *)step_${number}},\n")
endforeach()
list(LENGTH STEPS count)
file(WRITE ${OUT} "/* Made by schema/embed.cmake. */\n#include \"schema/schema.h\"\n\n${arrays}
const struct schema_step schema_steps[] = {\n${rows}};
const size_t schema_step_count = ${count};\n")
