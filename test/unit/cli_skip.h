// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

// The case that calls this cannot run here: the program then exits with 77, if nothing failed.
void skip_test(const std::string& reason);
