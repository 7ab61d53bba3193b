# SPDX-License-Identifier: Apache-2.0
# One library per folder of daemon/, one way to build tests, warnings as errors.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(SQLite3 REQUIRED)
pkg_check_modules(LIBBPF REQUIRED IMPORTED_TARGET libbpf)
pkg_check_modules(PCAP REQUIRED IMPORTED_TARGET libpcap)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)

add_library(fieldline_flags INTERFACE)
target_compile_options(fieldline_flags INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers)
target_include_directories(fieldline_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/daemon)
target_link_libraries(fieldline_flags INTERFACE Boost::headers)

# fieldline_library(NAME SOURCES...): the folder's library, as fieldline_NAME.
function(fieldline_library name)
  add_library(fieldline_${name} STATIC ${ARGN})
  target_link_libraries(fieldline_${name} PUBLIC fieldline_flags)
endfunction()

# fieldline_test(NAME SOURCES a.cpp ... LINK libs ... [ROOT] [TIMEOUT s] [LABELS ...]): one Catch2 program, run
# by CTest as one test. Exit code 77 is SKIP.
function(fieldline_test name)
  cmake_parse_arguments(T "ROOT" "TIMEOUT" "SOURCES;LINK;LABELS" ${ARGN})
  add_executable(test_${name} ${T_SOURCES})
  target_link_libraries(test_${name} PRIVATE fieldline_catch ${T_LINK} fieldline_flags)
  add_test(NAME ${name} COMMAND test_${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${T_TIMEOUT} LABELS "${T_LABELS}")
  if(T_ROOT)
    set_tests_properties(${name} PROPERTIES RESOURCE_LOCK network)
  endif()
endfunction()

# fieldline_script_test(NAME COMMAND cmd args... [TIMEOUT s] [LABELS ...]): a script that exits 0, 77 for SKIP
# with the reason on its last line, or anything else for failure. FIELDLINE_BUILD names the build folder.
function(fieldline_script_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "COMMAND;LABELS" ${ARGN})
  add_test(NAME ${name} COMMAND ${T_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${T_TIMEOUT} LABELS "${T_LABELS}"
    RESOURCE_LOCK network ENVIRONMENT "FIELDLINE_BUILD=${CMAKE_BINARY_DIR}")
endfunction()
